"""What the Hugging Face hub calls licences: a card with another word is refused there."""

from __future__ import annotations

import difflib

from .errors import ArgumentError

# https://huggingface.co/docs/hub/repositories-licenses; what is none of these is called "other" there.
LICENSES = frozenset(
    """
    afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m
    bigscience-bloom-rail-1.0 bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0
    c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0
    cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0
    cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m
    deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2
    fair-noncommercial-research-license gemma gfdl gpl gpl-2.0 gpl-3.0 grok2-community h-research
    intel-research isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 llama4
    lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openmdw-1.0 openrail openrail++ osl-3.0 pddl
    postgresql unknown unlicense wtfpl zlib other
    """.split()  # noqa: SIM905 - 70 words in a list of their own quotes are hard to read
)


def check_license(license: object) -> None:
    """Raise ArgumentError unless this is what the hub calls a licence."""
    if isinstance(license, str) and license in LICENSES:
        return
    near = difflib.get_close_matches(str(license).strip().lower(), LICENSES, n=3, cutoff=0.7)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise ArgumentError(
        f"the licence is {license!r:.80}, which the hub does not know; {hint}use its name of one "
        "(apache-2.0, mit, cc-by-4.0, cc-by-nc-4.0, …), or other, and tell of it in the card (license_name "
        "and license_link in README.md)"
    )
