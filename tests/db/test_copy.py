"""COPY in and out, against what psycopg2 and SQLAlchemy read and write by themselves."""

import io
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    Engine,
    Integer,
    MetaData,
    Table,
    Text,
    create_engine,
    delete,
    insert,
    select,
    text,
)
from sqlalchemy.pool import NullPool

from db.copy import array, copy_in, copy_out, copy_rows, copy_text, read_array, read_scalar, scalar
from db.embedded import Server
from db.errors import StoreError

KINDS = {"int2": (np.int16, "smallint"), "int4": (np.int32, "integer"), "float4": (np.float32, "real")}
SIZES = st.one_of(st.just(0), st.just(1), st.integers(2, 40))


def vectors(kind: str) -> st.SearchStrategy[NDArray[Any]]:
    """Vectors of every length and value, NaN and infinities among the floats."""
    return arrays(KINDS[kind][0], SIZES)


@pytest.fixture(scope="module")
def connection(server: Server) -> Iterator[Connection]:
    """A database without our tables: one temporary table of vectors."""
    engine = create_engine(server.url("postgres"), poolclass=NullPool)
    with engine.connect() as session:
        session.execute(
            text("create temporary table vector (id integer, int2 smallint[], int4 integer[], float4 real[])")
        )
        session.commit()
        yield session


def stored(connection: Connection, kind: str) -> list[Any]:
    """What psycopg2 makes of the stored vectors, in the order of their ids."""
    with connection.connection.cursor() as cursor:
        cursor.execute(f"select {kind} from vector order by id")
        return [row[0] for row in cursor.fetchall()]


def load(connection: Connection, kind: str, fields: list[bytes | None]) -> None:
    connection.execute(text("truncate vector"))
    copy_in(connection, "vector", ("id", kind), [(scalar(i, "int4"), f) for i, f in enumerate(fields)])


def same(vector: list[Any], expected: NDArray[Any], null: NDArray[np.bool_]) -> bool:
    """psycopg2 gives Python numbers; a real comes as its shortest decimal, so it is compared as float32."""
    numbers = np.array([0 if element is None else element for element in vector], dtype=expected.dtype)
    no_number = np.array([element is None for element in vector], dtype=bool)
    is_float = expected.dtype.kind == "f"
    return np.array_equal(no_number, null) and np.array_equal(
        numbers[~null], expected[~null], equal_nan=is_float
    )


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_written_vectors_are_what_psycopg2_reads(
    connection: Connection, kind: str, data: st.DataObject
) -> None:
    several = data.draw(st.lists(vectors(kind), min_size=1, max_size=4))
    nulls = [data.draw(arrays(np.bool_, len(vector))) for vector in several]
    load(connection, kind, [array(v, kind, null) for v, null in zip(several, nulls, strict=True)])
    for stored_vector, vector, null in zip(stored(connection, kind), several, nulls, strict=True):
        assert same(stored_vector, vector, null)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_vectors_written_by_psycopg2_are_read(connection: Connection, kind: str, data: st.DataObject) -> None:
    vector = data.draw(vectors(kind))
    connection.execute(text("truncate vector"))
    with connection.connection.cursor() as cursor:
        cursor.execute(
            f"insert into vector (id, {kind}) values (7, %s::{KINDS[kind][1]}[])", (vector.tolist(),)
        )
    ((number, field),) = copy_out(connection, f"select id, {kind} from vector where id = %(id)s", id=7)
    assert number is not None
    assert field is not None
    assert read_scalar(number) == 7
    array_read = read_array(field, kind)
    assert array_read.dtype == KINDS[kind][0]
    np.testing.assert_array_equal(array_read, vector)


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
@example(None)
def test_round_trip_keeps_every_bit(connection: Connection, kind: str, data: st.DataObject | None) -> None:
    if data is None:
        rng = np.random.default_rng(0)
        vector = rng.integers(0, 2**32, 100_000, dtype=np.uint32).view(np.float32)
        vector = vector if kind == "float4" else vector.view(np.int32).astype(KINDS[kind][0])
    else:
        vector = data.draw(vectors(kind))
    load(connection, kind, [array(vector, kind), None, array(vector[::-1], kind)])
    first, second, third = (row[0] for row in copy_out(connection, f"select {kind} from vector order by id"))
    assert first is not None
    assert second is None
    assert third is not None
    assert read_array(first, kind).tobytes() == vector.tobytes()
    assert read_array(third, kind).tobytes() == vector[::-1].tobytes()


def test_vectors_of_a_hundred_thousand_mixed_elements_are_read_and_written(connection: Connection) -> None:
    rng = np.random.default_rng(1)
    vector = rng.normal(size=100_000).astype(np.float32)
    vector[rng.integers(0, len(vector), 3000)] = np.nan
    vector[:4] = [np.inf, -np.inf, -0.0, np.finfo(np.float32).tiny / 8]
    null = rng.random(len(vector)) < 0.1
    load(connection, "float4", [array(vector, "float4", null)])
    (stored_vector,) = stored(connection, "float4")
    assert same(stored_vector, vector, null)
    assert sum(element is None for element in stored_vector) == null.sum() > 0
    connection.execute(text("update vector set float4 = array_replace(float4, null, 7)"))
    ((field,),) = copy_out(connection, "select float4 from vector")
    assert field is not None
    np.testing.assert_array_equal(read_array(field, "float4"), np.where(null, np.float32(7), vector))


def test_empty_results_and_empty_vectors_are_read(connection: Connection) -> None:
    load(connection, "int2", [])
    assert list(copy_out(connection, "select id from vector")) == []
    load(connection, "int2", [array(np.empty(0, np.int16), "int2"), None])
    assert stored(connection, "int2") == [[], None]
    assert connection.scalar(text("select cardinality(int2) from vector where id = 0")) == 0


def test_a_vector_of_nulls_is_stored_as_nulls(connection: Connection) -> None:
    load(connection, "int2", [array(np.zeros(3, np.int16), "int2", np.ones(3, bool))])
    assert stored(connection, "int2") == [[None, None, None]]


def test_scalars_of_every_width_are_read(connection: Connection) -> None:
    values = (-(2**15), 2**31 - 1, -(2**62))
    ((small, middle, large),) = copy_out(
        connection,
        "select cast(%(a)s as smallint), cast(%(b)s as integer), cast(%(c)s as bigint)",
        a=values[0],
        b=values[1],
        c=values[2],
    )
    assert small is not None
    assert middle is not None
    assert large is not None
    assert (read_scalar(small), read_scalar(middle), read_scalar(large)) == values
    assert scalar(None, "int4") is None


@pytest.mark.parametrize(
    ("kind", "values"), [("int2", [0, 40_000]), ("int2", [0.5]), ("int4", [2**31]), ("int4", [-(2**40), 1])]
)
def test_a_number_that_does_not_fit_its_type_is_refused(kind: str, values: list[float]) -> None:
    with pytest.raises(ValueError, match=f"{kind} can't hold"):
        array(np.array(values), kind)


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("array[1, null]::integer[]", "NULLs: True"),
        ("array[1, 2]::smallint[]", "element type 21"),
        ("array[[1, 2], [3, 4]]", "dimensions: 2"),
    ],
)
def test_array_of_another_shape_is_refused(connection: Connection, sql: str, reason: str) -> None:
    ((field,),) = copy_out(connection, f"select {sql}")
    assert field is not None
    with pytest.raises(ValueError, match=reason):
        read_array(field, "int4")


def test_parameters_are_quoted(connection: Connection) -> None:
    name = "O'Hara; drop table vector --"
    ((field,),) = copy_out(connection, "select %(name)s::text", name=name)
    assert field is not None
    assert bytes(field).decode() == name


def test_copy_is_part_of_the_transaction(engine: Engine) -> None:
    """A connection that has done nothing else must not lose what was copied, nor keep what was rolled back."""
    row = (scalar(77, "int2"), b"Scoliosis")
    with engine.connect() as connection:
        copy_in(connection, "task", ("id", "name"), [row])
        connection.rollback()
        copy_text(connection, "task", ("id", "name"), io.StringIO('78,"Goitre, large"\n'))
        connection.commit()
    with engine.connect() as connection:
        stored_rows = connection.execute(text("select id, name from task where id > 20")).all()
    assert stored_rows == [(78, "Goitre, large")]


def test_an_empty_text_field_is_null(engine: Engine) -> None:
    lines = io.StringIO('bethesda,\nstanford,""\n')
    with engine.begin() as connection:
        connection.execute(text("create temporary table note (site text, remark text)"))
        copy_text(connection, "note", ("site", "remark"), lines)
        stored_rows = connection.execute(text("select site, remark from note order by site")).all()
    assert stored_rows == [("bethesda", None), ("stanford", "")]


def test_copied_rows_equal_those_that_sqlalchemy_inserts(engine: Engine) -> None:
    """Every kind of value, awkward ones too; the columns of a row in any order, and one with a reserved name."""
    table = Table(
        "kept", MetaData(), Column("flag", Boolean), Column("both", BigInteger), Column("share", Double),
        Column("said", Text), Column("ids", ARRAY(Integer)), Column("parts", ARRAY(Double)), prefixes=["TEMPORARY"],
    )  # fmt: skip
    texts = ["", "NULL", "\\N", "\\.", 'a "b", c', "two\nlines\r\n", " Größe ≥ ½ ", "'; drop table kept"]
    numbers = [0.1 + 0.2, -0.0, 1e-308, 5e-324, 1 / 3, math.inf, -math.inf, 1e22]
    rows: list[dict[str, Any]] = [
        {
            "flag": bool(i % 2),
            "both": i * 2**40,
            "share": share,
            "said": remark,
            "ids": [i, -i],
            "parts": [share, None],
        }
        for i, (remark, share) in enumerate(zip(texts, numbers, strict=True))
    ]
    rows += [{"both": 3, "flag": None, "share": None, "said": None, "ids": None, "parts": []}]
    with engine.begin() as connection:
        table.create(connection)
        connection.execute(insert(table), rows)
        expected = connection.execute(select(table)).all()
        connection.execute(delete(table))
        copy_rows(connection, "kept", rows)
        stored_rows = connection.execute(select(table)).all()
        assert stored_rows == expected
        copy_rows(connection, "kept", [])
        connection.execute(delete(table))
        copy_rows(connection, "kept", [{**row, "share": np.float64(row["share"] or 0)} for row in rows[:-1]])
        assert connection.execute(select(table)).all() == expected[:-1]
        copy_rows(connection, "kept", rows[-1:])
        with pytest.raises(ValueError, match="kept: expected the columns flag, both"):
            copy_rows(connection, "kept", [rows[0], {"flag": True}])
        for value in ({"a": 1}, ["a"], b"a", [[1]]):
            with pytest.raises(TypeError, match="expected None, a bool"):
                copy_rows(connection, "kept", [{"said": value}])
        assert connection.execute(select(table)).all() == expected
    with pytest.raises(StoreError, match=r"task: duplicate key.*pk_task"), engine.begin() as connection:
        copy_rows(connection, "task", [{"id": 80, "name": "one"}, {"id": 80, "name": "two"}])


def test_a_refused_row_raises_a_store_error(engine: Engine) -> None:
    twice = [(scalar(80, "int2"), b"one"), (scalar(80, "int2"), b"two")]
    with pytest.raises(StoreError, match=r"task: duplicate key.*pk_task"), engine.begin() as connection:
        copy_in(connection, "task", ("id", "name"), twice)


def test_nan_is_not_null() -> None:
    assert math.isnan(read_array(memoryview(array(np.array([np.nan], np.float32), "float4")), "float4")[0])
