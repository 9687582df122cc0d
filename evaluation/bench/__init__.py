"""Measuring codecs: many on the same sounds (`soundloom bench-codecs`), two files side by side (`compare`).

Who takes part (contenders, opus), the measuring (run), its outcome as table and plot (result); two files
(compare); figures on disk and on the screen (reports).
"""
