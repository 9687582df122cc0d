"""Compare codecs on the same sounds (`soundloom bench-codecs`).

Who takes part (contenders, opus), the measuring (run), its outcome as table and plot (result).
"""
