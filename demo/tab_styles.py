"""Style sheet of the tabs Edit, Compress and Look inside, and with that of theme.py the whole page's."""

from __future__ import annotations

from .theme import CSS

TABS_CSS = """
/* Pictures have no background: on a dark page their white becomes black, and the other way round. */
.dark [id$=spectrogram] img, .dark .picture img { filter: invert(1) hue-rotate(180deg); }
[id$=spectrogram] .icon-button-wrapper:not(:has(button)), .picture .icon-button-wrapper:not(:has(button)) {
  display: none;  /* else an empty frame of it is a speck on the picture */
}
#to-edit-spectrogram img { cursor: crosshair; }
.dark button.primary:hover { background: var(--primary-800) !important; }  /* white on it can be read */
/* Times and buttons of Gradio's player are a grey that is too pale to be read. */
:is(#time, #duration, .playback, .text-button, .action, .rewind, .skip, .play-pause-button)[class*=svelte] {
  color: var(--body-text-color) !important;
}
.working { min-height: 6.5rem; }
#edit-row { display: grid; grid-template: auto 1fr / minmax(0, 9fr) minmax(0, 5fr); }
#edit-row > #edit-controls { grid-column: 2; grid-row: 1 / 3; }
@media (max-width: 480px) {  /* all tabs beside each other, also as gradio measures them */
  .tab-container button { padding-inline: 0.4rem; font-size: 0.85rem; }
}
@media (max-width: 768px) {
  #edit-row { display: flex; }
}
#to-compress, #to-edit { height: auto !important; min-height: 0; }
.problem { border-left: 4px solid var(--error-border-color, #b91c1c); padding-left: 0.8em; }
"""
PAGE_CSS = CSS + TABS_CSS
