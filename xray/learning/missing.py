"""Which evaluations are missing. Apart from what fills them, as that takes long to import."""

from collections import defaultdict

from sqlalchemy import Connection, text

from db.queries import query


def missing(connection: Connection, study: str | None = None) -> dict[int, list[int]]:
    """Model id → image lists that it has still to score, or to give the features of: of one study, or of everything."""
    rows = connection.execute(text(query("missing")), {"study": study}).all()
    lists = defaultdict(list)
    for row in rows:
        lists[row.model_id].append(row.image_list_id)
    return dict(lists)


def own_first(
    connection: Connection, missing: dict[int, list[int]]
) -> tuple[dict[int, list[int]], dict[int, list[int]]]:
    """What is missing, of the models that were trained here and of those from elsewhere, which may be slow."""
    parameters = {"ids": list(missing)}
    foreign = set(
        connection.scalars(text("select id from model where id = any(:ids) and kind = 'foreign'"), parameters)
    )
    own = {model: lists for model, lists in missing.items() if model not in foreign}
    return own, {model: lists for model, lists in missing.items() if model in foreign}
