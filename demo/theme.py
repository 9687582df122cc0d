"""How the demo looks: colours, fonts and spacing."""

from __future__ import annotations

import gradio as gr

CSS = """
.gradio-container { width: 100% !important; max-width: 1120px !important; margin: 0 auto !important; }
#live:has(.text:empty) { display: none; }
#title h1 { font-size: 1.9rem; font-weight: 650; letter-spacing: -0.02em; margin: 0.4rem 0 0 0; }
#title p { margin: 0.15rem 0 0.3rem 0; }
#prompt textarea { font-size: 1.1rem; }
#about, #about-compress {
  margin-top: 0.5rem; border-top: 1px solid var(--border-color-primary); padding-top: 0.8rem;
}
#about p, #about-compress p { font-size: 0.9rem; max-width: 80ch; }
#working, #opening { min-height: 6.5rem; }
#figures table { width: 100%; margin: 0; }
#figures thead { display: none; }
#figures :is(table, tbody, tr, td) { border: none !important; }
#figures tr { border-bottom: 1px solid var(--border-color-primary) !important; }
#figures td:last-child { text-align: right; font-variant-numeric: tabular-nums; }
"""


def theme() -> gr.themes.Base:
    """Return the look of the demo: quiet colours and the fonts that the reader's machine has."""
    return gr.themes.Soft(
        primary_hue="teal",
        secondary_hue="teal",
        neutral_hue="slate",
        font=["system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif"],
        font_mono=["ui-monospace", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace"],
    ).set(
        block_border_width="1px",
        block_border_width_dark="1px",
        block_shadow="none",
        input_border_width="1px",
        block_title_background_fill="none",
        block_title_background_fill_dark="none",
        block_title_text_color="*neutral_700",
        block_title_text_color_dark="*neutral_200",
        block_title_padding="0",
        block_label_background_fill="none",
        block_label_background_fill_dark="none",
        block_label_text_color="*neutral_700",
        block_label_text_color_dark="*neutral_200",
        block_label_shadow="none",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        slider_color="*primary_600",
    )
