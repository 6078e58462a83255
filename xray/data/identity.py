"""Who and what an image shows, whatever datasets call it: one patient, one canonical image (docs/decisions/0027).

Images show one picture where their site gives them one name, where one is a copy of the other (`original`, by the owners'
published mappings), or where their pixels are the same, at whatever site. Their patients are one then, and all images of
either are of that one patient. The first of them stands for all: what is known later moves nobody to another part.
"""

from sqlalchemy import Connection, text

from db.queries import query


def lock(connection: Connection) -> None:
    """No other transaction says who and what its images show until this one ends."""
    connection.execute(text("select pg_advisory_xact_lock(hashtext('xray identity'))"))


def newest_image(connection: Connection) -> int:
    """The highest id of an image, 0 where there is none."""
    return connection.scalar(text("select coalesce(max(id), 0) from image")) or 0


def merge(connection: Connection, site_id: int) -> set[int]:
    """Make one what is one, after the images of table `incoming` were put; the ids of the images that are other ones now."""
    pictures = _repeat(connection, "merge_pictures", site_id)
    patients = _repeat(connection, "merge_patients", site_id)
    connection.execute(text(query("name_patients")))
    if patients:
        connection.execute(text(query("forget_patients")))
    return pictures | patients


def _repeat(connection: Connection, name: str, site_id: int) -> set[int]:
    """Ids of the images that a query changed, until it changed none."""
    changes: set[int] = set()
    while ids := connection.scalars(text(query(name)), {"site_id": site_id}).all():
        changes |= set(ids)
    return changes


def forget_results(connection: Connection, images: set[int]) -> None:
    """Results of studies with test cohorts of these images are stale: patients were counted apart that are one."""
    connection.execute(text(query("forget_results_of_images")), {"images": sorted(images)})
