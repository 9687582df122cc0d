"""Find where the samples of a sound file lie, and how many of them its own header tells of.

libsndfile's number of samples is a hint only: it guesses that of an mp3 from its first frames, stops at the
first part of joined files, and takes what is left of a file that was cut off for all of it. So the size
fields of the common containers are read here, and libsndfile is given the file as if they were right.

    chunks    wav, RF64, W64, AIFF, 8SVX, CAF, AU, VOC: the size of the chunk with the samples
    mpeg      mp3: every frame, and the Xing, Info or VBRI header
    ogg       the pages, the parts of a chained file, and the page that ends each
    flac      STREAMINFO

Other formats are passed on as they are.
"""

from .find import find_layout
from .segments import Layout, Segment
from .spliced import Spliced

__all__ = ["Layout", "Segment", "Spliced", "find_layout"]
