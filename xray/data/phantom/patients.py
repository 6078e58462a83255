"""The patients of a site, and the true findings of each image.

Nothing here knows how a site takes its pictures or names its findings.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from xray.data.phantom.sites import FINDINGS, PhantomSite
from xray.data.phantom.streams import FloatArray, IntArray, uniforms

TEXTURE_CELLS: Final = 12
"""Cells along each side of a patient's two fields of irregularity, one of the lung and one of infiltrates."""

_IMAGES_PER_PATIENT: Final = (0.80, 0.15, 0.05)
_PERSISTENCE: Final = 0.85
_N_BODY: Final = 16
_N_PLACE: Final = 3
_N_FINDING: Final = 2 + _N_PLACE
_N_TEXTURE: Final = 2 * TEXTURE_CELLS**2

_SIZES: Final[dict[str, tuple[float, float]]] = {
    "Atelectasis": (0.35, 0.65),
    "Infiltration": (0.40, 0.75),
    "Pneumothorax": (0.06, 0.30),
    "Emphysema": (0.12, 0.55),
    "Effusion": (0.05, 0.40),
    "Cardiomegaly": (0.51, 0.65),
    "Nodule": (0.034, 0.052),
    "Mass": (0.075, 0.120),
    "Reticular_Pattern": (0.09, 0.18),
}
_NORMAL_RATIO: Final = (0.37, 0.49)


@dataclass(frozen=True)
class Body:
    """The anatomy of each image's patient, as the patient stands in that image: every field is (n,).

    Lengths are in half-widths of the picture. thorax: greatest inner half-width. apex, base: height of the
    lungs' top and of the right dome. left_drop: how much lower the left dome lies. dome: how much the
    diaphragm curves. rib_spacing, rib_phase, rib_contrast: the ribs. breast: its weight, 0 for men. gas:
    weight of the gastric bubble. exposure: factor on thickness. shift_x, shift_y, zoom: how the patient
    stands.
    """

    thorax: FloatArray
    apex: FloatArray
    base: FloatArray
    left_drop: FloatArray
    dome: FloatArray
    rib_spacing: FloatArray
    rib_phase: FloatArray
    rib_contrast: FloatArray
    breast: FloatArray
    gas: FloatArray
    exposure: FloatArray
    shift_x: FloatArray
    shift_y: FloatArray
    zoom: FloatArray


@dataclass(frozen=True)
class Cases:
    """The images of some patients of a site, one row each, in the order (patient, image).

    patient, image: numbers from 0 (n,). age: whole years (n,). female: (n,). body: their anatomy.

    present: (n, n_findings) whether the finding is in the picture, by the reference definition.

    size: (n, n_findings) how large the finding is, 0 where it is absent, except that Cardiomegaly always has
    the cardio-thoracic ratio. Nodule, Mass: radius in widths of the picture. Effusion: height as part of the
    lung's. Pneumothorax: width as a part of the half chest's. Emphysema: part of the lung's density that is
    lost. The others: x-ray thickness added.

    place: (n, n_findings, 3) in [0, 1): the side that the finding is on, then what its drawing makes of them.

    texture, patches: (n, 12, 12), mean 0, deviation 1: the irregularity of the lungs and that of infiltrates.
    """

    patient: IntArray
    image: IntArray
    age: IntArray
    female: NDArray[np.bool_]
    body: Body
    present: NDArray[np.bool_]
    size: FloatArray
    centre: FloatArray
    texture: FloatArray
    patches: FloatArray

    def take(self, rows: slice) -> "Cases":
        """Some of the images."""
        body = Body(*(values[rows] for values in vars(self.body).values()))
        parts = {name: values[rows] for name, values in vars(self).items() if name != "body"}
        return Cases(body=body, **parts)

    def size_of(self, finding: str) -> FloatArray:
        """(n,) sizes of one finding."""
        sizes: FloatArray = self.size[:, FINDINGS.index(finding)]
        return sizes

    def place_of(self, finding: str) -> FloatArray:
        """(n, 3) places of one finding."""
        positions: FloatArray = self.centre[:, FINDINGS.index(finding)]
        return positions


def sample_cases(site: PhantomSite, patients: range, seed: int) -> Cases:
    """The images of these patients and what is truly in them. Each patient has one to three."""
    persons = np.array(patients, dtype=np.int64)
    n_traits = 3 + _N_BODY + len(FINDINGS) * _N_FINDING + _N_TEXTURE
    traits = uniforms("patient", seed, site.name, persons, np.zeros_like(persons), n_traits)
    n_images = 1 + np.searchsorted(np.cumsum(_IMAGES_PER_PATIENT)[:-1], traits[:, 0], side="right")
    row = np.repeat(np.arange(len(persons)), n_images)
    patient = persons[row]
    image = np.arange(len(row)) - np.repeat(np.cumsum(n_images) - n_images, n_images)
    moment = uniforms("truth", seed, site.name, patient, image, 4 + len(FINDINGS) * (1 + _N_FINDING))
    person, body, findings, fields = np.split(
        traits[row], np.cumsum([3, _N_BODY, len(FINDINGS) * _N_FINDING]), axis=1
    )
    findings = _findings(findings, moment[:, 4:], image)
    present, size = _present_and_size(site, findings)
    female = person[:, 1] < 0.5
    texture = (fields.reshape(-1, 2, TEXTURE_CELLS, TEXTURE_CELLS) - 0.5) * np.sqrt(12)
    return Cases(
        patient=patient,
        image=image,
        age=np.round(18 + 75 * _hill(person[:, 2])).astype(np.int64),
        female=female,
        body=_body(body, moment[:, :4], female),
        present=present,
        size=size,
        centre=findings[:, :, 2:],
        texture=texture[:, 0],
        patches=texture[:, 1],
    )


def _findings(at_first: FloatArray, later: FloatArray, image: IntArray) -> FloatArray:
    """(n, n_findings, 5): the patient's numbers, or new ones where a finding changes by a later image."""
    fixed = at_first.reshape(len(image), len(FINDINGS), _N_FINDING)
    changing = later.reshape(len(image), len(FINDINGS), 1 + _N_FINDING)
    changes = (changing[:, :, :1] >= _PERSISTENCE) & (image > 0)[:, None, None]
    return np.where(changes, changing[:, :, 1:], fixed)


def _present_and_size(site: PhantomSite, findings: FloatArray) -> tuple[NDArray[np.bool_], FloatArray]:
    prevalence = np.array([site.prevalence_of(finding) for finding in FINDINGS])
    low, high = np.array([_SIZES[finding] for finding in FINDINGS]).T
    present = findings[:, :, 0] < prevalence
    size = np.where(present, _between(findings[:, :, 1], low, high), 0.0)
    heart = FINDINGS.index("Cardiomegaly")
    normal = _between(findings[:, heart, 1], *_NORMAL_RATIO)
    size[:, heart] = np.where(present[:, heart], size[:, heart], normal)
    return present, size


def _body(fixed: FloatArray, moment: FloatArray, female: NDArray[np.bool_]) -> Body:
    return Body(
        thorax=_between(fixed[:, 0], 0.70, 0.79) - 0.02 * female,
        apex=_between(fixed[:, 1], -0.82, -0.74),
        base=_between(fixed[:, 2], 0.36, 0.50),
        left_drop=_between(fixed[:, 3], 0.02, 0.07),
        dome=_between(fixed[:, 4], 0.20, 0.30),
        rib_spacing=_between(fixed[:, 5], 0.140, 0.170),
        rib_phase=fixed[:, 6],
        rib_contrast=_between(fixed[:, 7], 0.10, 0.18),
        breast=female * _between(fixed[:, 8], 0.05, 0.22),
        gas=(fixed[:, 9] < 0.5) * _between(fixed[:, 10], 0.2, 0.5),
        exposure=_between(moment[:, 0], 0.92, 1.08),
        shift_x=_between(moment[:, 1], -0.04, 0.04),
        shift_y=_between(moment[:, 2], -0.04, 0.04),
        zoom=_between(moment[:, 3], 0.96, 1.04),
    )


def _between(uniform: FloatArray, low: FloatArray | float, high: FloatArray | float) -> FloatArray:
    return low + (high - low) * uniform


def _hill(uniform: FloatArray) -> FloatArray:
    """Numbers in [0, 1) that are commoner about the middle."""
    return 0.5 + 0.5 * np.sign(uniform - 0.5) * np.abs(2 * uniform - 1) ** 1.5
