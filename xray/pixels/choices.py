"""What was unusual or lost in reading a picture, in the words in which a registration counts it."""

from typing import Final

MONOCHROME1: Final = "MONOCHROME1: inverted"
NEGATIVE_SLOPE: Final = "a negative rescale slope: inverted"
PRESENTATION_INVERSE: Final = "Presentation LUT Shape INVERSE: inverted"
VOI_INVERSE: Final = "a falling VOI LUT: inverted"
MODALITY_LUT: Final = "a Modality LUT: applied"
HIGH_BITS: Final = "something in the bits above those stored: cut off"
SHIFTED: Final = "stored in the upper bits: shifted down"
SIGNED: Final = "signed values: half the range added"
EQUAL_CHANNELS: Final = "DICOM in colour with equal channels: one taken"
CHANNELS_DIFFER: Final = "colour whose channels differ: the first taken, the others lost"
TRANSPARENT: Final = "transparency: lost"
UPPER_BYTE: Final = "16 bits of interlaced colour: the lower byte lost"
ORIENTATION: Final = "an EXIF orientation: turned upright"
PADDING: Final = "pixel padding: shown as background, black"
LOSSY_PADDING: Final = "pixel padding of a picture packed with loss: shown as it is stored"
LOSSY: Final = "DICOM that was packed with loss"
NO_PREAMBLE: Final = "DICOM without its preamble"
WINDOW: Final = "the file's own DICOM window: applied, what is outside lost"

SINCE_THEN: Final = (ORIENTATION, NEGATIVE_SLOPE, PRESENTATION_INVERSE, VOI_INVERSE, MODALITY_LUT, PADDING)
"""What versions before 0015 of the schema (padding: 0024) read otherwise: pictures of then seem to have changed."""
