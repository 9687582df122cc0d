"""How the models are trained: YAML recipes, data modules, the Foley corpus."""
