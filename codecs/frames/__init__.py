"""Sound <-> frames of a container, piece by piece: what `Codec.compress` and the functions for files share.

    sound -> resample -> mix -> scale -> stream encoder -> frames              (encode_frames)
    frames -> stream decoder -> cut -> unscale, gain -> mix -> resample
           -> limit -> cut to length -> sound                                 (decode_frames)

What of a codec is stored, and the header that says so: storage. Which frames a part of a sound needs: span.
The gain that gives a decoded sound its level: level. Everything runs over the streams of codecs, so that
memory does not grow with the sound's length.
"""
