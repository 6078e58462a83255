"""What there is is read anew behind the pages' backs, and no page waits for it."""

import threading
import time
from dataclasses import replace

from sqlalchemy import Engine, text

from xray.explorer.asking import Database
from xray.explorer.catalogue import FRESH_SECONDS, OLD_SECONDS, Scorer, Shelf


def test_a_page_shows_the_old_catalogue_while_a_new_one_is_read(database: str, engine: Engine) -> None:
    source = Database.of(database)
    shelf = Shelf(source)
    assert shelf.current() is not shelf.current(), "where nothing is scored yet it is looked for each time"
    first = replace(shelf.current(), scorers={"m": Scorer("m", ("m",), None, "all", None)})
    shelf._catalogue = first
    assert first.values == {}
    with engine.begin() as connection:
        connection.execute(text("insert into site (name) values ('alpha')"))
        connection.execute(text("insert into image (site_id, name, sex) select id, 'one', 'F' from site"))
    assert shelf.current() is first
    shelf._read_at = time.monotonic() - FRESH_SECONDS - 1
    assert shelf.current() is first, "the page does not wait"
    for thread in threading.enumerate():
        if getattr(thread, "_target", None) == shelf._renew:
            thread.join(20)
    assert shelf.current().values == {"sex": ("F",)}
    shelf._catalogue, shelf._read_at = first, time.monotonic() - OLD_SECONDS - 1
    assert shelf.current().values == {"sex": ("F",)}, "what is too old is waited for"
    source.close()
