"""The tree of errors.

XrayError                  anything a user can put right
├── DatabaseError          (db.errors)
│   ├── ServerError        the embedded server
│   └── StoreError         what the store refuses
├── DataError              label files, images, manifests: names file, row and column
│   ├── ManifestError      a manifest CSV
│   ├── ImageError         a picture that can't be read, or is not what it says
│   │   └── PicturesError  pictures that can't be prepared: gone, unreadable, changed since they were registered
│   └── PredictionsError   a file of scores made elsewhere: every mismatch, counted
├── StudyError             a study file: names file and key
├── LearningError          training and inference
│   └── ForeignModelError  a model from elsewhere: its file or its card
│       └── UntrustedError a file that would run code of its author's when loaded
├── AnalysisError          an analysis that can't be computed from what is stored
└── BackupError            a backup that can't be made, or is not whole
"""

from db.errors import DatabaseError, ServerError, StoreError, XrayError


class DataError(XrayError):
    """Something in a dataset's files is not as it must be."""


class ManifestError(DataError):
    """A manifest CSV is malformed; the message names file, row and column."""


class ImageError(DataError):
    """A picture can't be read, or its size or range is not what was declared."""


class PicturesError(ImageError):
    """Pictures can't be prepared, or prepared again: gone, unreadable, or changed since they were registered."""


class PredictionsError(DataError):
    """Scores made elsewhere don't fit the cohort that they are for; the message counts every mismatch."""


class StudyError(XrayError):
    """A study file asks for something that can't be; the message names file and key."""


class LearningError(XrayError):
    """Training or inference can't go on."""


class ForeignModelError(LearningError):
    """A model from elsewhere can't be taken: its file or its card is not as it must be."""


class UntrustedError(ForeignModelError):
    """A file would run code of its author's when it is loaded, which needs the user's word for it."""


class AnalysisError(XrayError):
    """An analysis can't be computed from what is stored."""


class BackupError(XrayError):
    """A backup can't be made, or is damaged, or can't be restored here."""


__all__ = [
    "AnalysisError",
    "BackupError",
    "DataError",
    "DatabaseError",
    "ForeignModelError",
    "ImageError",
    "LearningError",
    "ManifestError",
    "PicturesError",
    "PredictionsError",
    "ServerError",
    "StoreError",
    "StudyError",
    "UntrustedError",
    "XrayError",
]
