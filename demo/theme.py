"""How the demo looks: colours, fonts and spacing."""

from __future__ import annotations

import gradio as gr

CSS = """
.gradio-container { width: 100% !important; max-width: 1120px !important; margin: 0 auto !important; }
#title { display: flex; gap: 0.9rem; align-items: baseline; flex-wrap: wrap; }
#title h1 { font-size: 1.6rem; font-weight: 650; letter-spacing: -0.02em; margin: 0; display: inline; }
#title p { margin: 0 0 0 0.8rem; display: inline; }
#prompt textarea { font-size: 1.1rem; }
#hint { font-size: 0.9rem; min-height: 1.5rem; margin: -0.7rem 0; padding: 0; }
#status p { margin: 0; font-size: 1rem; }
.wrong { color: #b91c1c !important; font-weight: 600; }
.dark .wrong { color: #fca5a5 !important; }
.message { padding: 0 !important; margin-top: -0.5rem; }
.message p { margin: 0; font-size: 0.9rem; line-height: 1.35; }
.message:not(:has(p)) { display: none; }
#working-on { min-height: 2.6rem; align-items: center; margin: -0.4rem 0; }
#status { padding: 0; }
#main-settings > * { align-self: stretch; }
#listen { min-width: 230px !important; }
.card { border: 1px solid var(--border-color-primary); border-radius: 0.5rem; padding: 0.5rem; gap: 0.5rem; }
.card .block, .made .block { padding: 0 !important; min-height: 0 !important; }
.facts { padding: 0 !important; }
.facts p { margin: 0.1rem 0; font-size: 0.85rem; color: var(--body-text-color); }
.facts .prompt { font-size: 0.95rem; font-weight: 600; overflow-wrap: anywhere; }
.spectrogram img { width: 100%; max-height: 215px; object-fit: contain; }
.dark img:is([alt^="Spectrogram"]) { filter: invert(1) hue-rotate(180deg); }
.icon-button-wrapper:not(:has(button, a)) { display: none; }
#history h2 { font-size: 1.15rem; font-weight: 650; margin: 0.6rem 0 0 0; }
#history > .row > :first-child { flex: 1 1 260px; min-width: 260px; }
/* What is to be done with a sound, in one line also where four are side by side. */
.do { flex-wrap: nowrap !important; gap: 0.4rem !important; }
.do > * { min-width: 0 !important; padding-inline: 0.2rem !important; white-space: nowrap; }
.made { border-top: 1px solid var(--border-color-primary); padding: 0.4rem 0; align-items: center; }
#about, #about-compress {
  margin-top: 0.5rem; border-top: 1px solid var(--border-color-primary); padding-top: 0.8rem;
}
#about p, #about-compress p { font-size: 0.9rem; max-width: 100ch; }
#working, #opening { min-height: 6.5rem; }
#figures table { width: 100%; max-width: 46rem; margin: 0; }
#figures thead { display: none; }
#figures :is(table, tbody, tr, td) { border: none !important; }
#figures tr { border-bottom: 1px solid var(--border-color-primary) !important; }
#figures td:last-child { text-align: right; font-variant-numeric: tabular-nums; }
/* What has the focus is seen, in light and in dark, also where Gradio draws nothing. */
:is(button, input, textarea, select, a, [tabindex]):focus-visible {
  outline: 3px solid var(--primary-600) !important; outline-offset: 2px !important;
}
.dark :is(button, input, textarea, select, a, [tabindex]):focus-visible {
  outline-color: var(--primary-300) !important;
}
/* The names of tabs, and what is small, in colours that can be read. */
.tab-container button.selected { color: var(--primary-700) !important; }
.dark .tab-container button.selected { color: var(--primary-300) !important; }
/* What only Gradio can say, as that the server is gone, comes up where no button begins anything. Gradio
   heads it "Error", whatever the title of a gr.Error is. */
.toast-wrap {
  inset: auto auto var(--size-4) var(--size-4) !important; max-width: calc(100vw - var(--size-8)) !important;
}
.toast-title.error { font-size: 0 !important; }
.toast-title.error::before { content: "That did not work"; font-size: var(--text-md); }
@media (prefers-reduced-motion: reduce) { * { animation: none !important; transition: none !important; } }
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
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        input_placeholder_color="*neutral_600",
        input_placeholder_color_dark="*neutral_300",
        button_secondary_background_fill_dark="*neutral_700",
        button_secondary_background_fill_hover_dark="*neutral_600",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        checkbox_label_background_fill_selected="*primary_700",
        checkbox_label_background_fill_selected_dark="*primary_700",
        checkbox_label_text_color_selected="white",
        slider_color="*primary_600",
        link_text_color="*primary_700",
        link_text_color_dark="*primary_300",
        link_text_color_visited="*primary_700",
        link_text_color_visited_dark="*primary_300",
        link_text_color_hover="*primary_800",
        link_text_color_hover_dark="*primary_200",
        link_text_color_active="*primary_800",
        link_text_color_active_dark="*primary_200",
    )
