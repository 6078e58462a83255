"""Scatter plots with hover texts: classifiers by dataset and task, images by view, tasks by distance and AUC."""

from collections.abc import Sequence
from typing import Any, Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from xray.report import spots
from xray.report.grids import text_or_none
from xray.report.layout import empty
from xray.report.names import place_names
from xray.report.style import CATEGORIES, EDGE, INK, PAGE_WIDTH, SOFT, WHITE, settings, text_width, wrap
from xray.report.words import number, number_of, task_name

LABEL: Final = 6.5
SIDE: Final = 3.1
"""Inches: a panel is square."""
UNKNOWN: Final = "unknown"


def classifiers(rows: pd.DataFrame) -> Figure:
    """A panel for each configuration (its first seed): a dot for each dataset (colour) and task (name)."""
    panels = []
    datasets: list[str] = []
    if len(rows):  # in the study's order, as rows of one task are: that of most datasets
        many = (
            rows.groupby("task")["dataset"].transform("nunique").sort_values(ascending=False, kind="stable")
        )
        datasets = list(dict.fromkeys(rows.loc[many.index, "dataset"]))
    for trained_on, same in rows.groupby("trained_on", sort=False) if len(rows) else ():
        first_seed = same[same["seed"] == same["seed"].min()]
        explained = float((first_seed["explained_x"] + first_seed["explained_y"]).iloc[0])
        title = f"{trained_on}, {100 * explained:.0f}% of the variance"
        lines = [
            (
                f"{task_name(str(row.task))}: classifier of {row.dataset}, model {trained_on}, seed {row.seed}",
                _method(row),
            )
            for row in first_seed.itertuples()
        ]
        cells = [(str(trained_on), str(row.dataset), str(row.task)) for row in first_seed.itertuples()]
        names = [task_name(str(task)) for task in first_seed["task"]]
        panels.append(
            (title, first_seed.assign(group=first_seed["dataset"], text=names, lines=lines, cell=cells))
        )
    return _draw(panels, datasets, True)


def features(rows: pd.DataFrame, images: pd.DataFrame | None = None) -> Figure:
    """A panel for each model with features: a dot for each image, coloured by its stated view.

    images: the number and the labels of each, columns image_id, site, image, dataset, positive; a row for
    each dataset that labels it, or one without.
    """
    if not len(rows):
        return _draw([], [], False)
    views = [view if isinstance(view, str) and view else UNKNOWN for view in rows["view"]]
    answering = _answering(rows.assign(group=views, text=""), images)
    panels = [
        (f"trained on {trained_on}, seed {seed}", same)
        for (trained_on, seed, _), same in answering.groupby(
            ["trained_on", "seed", "evaluation_id"], sort=False
        )
    ]
    return _draw(panels, sorted(set(views)), False)


def distances(rows: pd.DataFrame) -> Figure:
    """A panel for each configuration: each task's relative distance against its AUC across datasets."""
    defined = (
        rows[rows["seed"].isna() & rows["relative"].notna() & rows["cross_domain_auc"].notna()]
        if len(rows)
        else rows
    )
    panels = [
        (
            str(trained_on),
            same.assign(
                x=same["relative"],
                y=same["cross_domain_auc"],
                group="",
                text=[task_name(str(t)) for t in same["task"]],
                lines=[_distance(row) for row in same.itertuples()],
            ),
        )
        for trained_on, same in (defined.groupby("trained_on", sort=False) if len(defined) else ())
    ]
    return _draw(
        panels,
        [],
        True,
        ("distance between datasets, relative to the other tasks", "mean AUC on other datasets"),
    )


def _answering(rows: pd.DataFrame, images: pd.DataFrame | None) -> pd.DataFrame:
    """The rows with each dot's hover text: the image's number (never its name), view and labels."""
    by_image: dict[tuple[str, str], list[Any]] = {}
    for row in images.itertuples() if images is not None else ():
        by_image.setdefault((row.site, row.image), []).append(row)
    lines, numbers = [], []
    for row in rows.itertuples():
        image_rows = by_image.get((row.site, row.image), [])
        numbers.append(int(image_rows[0].image_id) if image_rows else None)
        title = f"image {numbers[-1]}" if image_rows else "an image"
        labels = (
            f"{image_row.dataset}: {', '.join(map(task_name, image_row.positive)) or 'no finding is positive'}"
            for image_row in image_rows
            if image_row.dataset is not None
        )
        lines.append((f"{title}, view {row.group}", *labels, _method(row)))
    return rows.assign(lines=lines, number=pd.Series(numbers, index=rows.index, dtype="Int64"))


def _distance(row: Any) -> tuple[str, ...]:
    """What the dot of a task answers."""
    return (
        f"{task_name(str(row.task))}: model {row.trained_on}, {number_of(int(row.n_datasets), 'dataset')}",
        f"distance {number(float(row.relative), 2)} of that of the other tasks, mean AUC on other datasets "
        f"{number(float(row.cross_domain_auc))}",
        _method(row),
    )


def _method(row: Any) -> str:
    return text_or_none(getattr(row, "method", None)) or ""


def _draw(
    panels: Sequence[tuple[str, pd.DataFrame]],
    groups: Sequence[str],
    has_names: bool,
    axes_names: tuple[str, str] | None = None,
) -> Figure:
    with settings():
        if not panels:
            return empty()
        across = min(2, len(panels))
        down = -(-len(panels) // across)
        left, top, between = 0.5, 0.3, 0.5
        width = PAGE_WIDTH if across == 2 else SIDE + left + 0.2
        foot = 0.45 if axes_names is not None else 0.25
        height = down * SIDE + (down - 1) * between + top + foot + (0.25 if groups else 0)
        figure = Figure(figsize=(width, height), facecolor=WHITE)
        FigureCanvasAgg(figure)
        for index, (title, points) in enumerate(panels):
            x = left + (index % across) * (SIDE + left)
            y = top + (index // across) * (SIDE + between)
            rectangle = (x / width, 1 - (y + SIDE) / height, (SIDE - 0.1) / width, SIDE / height)
            axes = figure.add_axes(rectangle, label=title)
            axes.set_title(wrap(title, SIDE, LABEL + 1, most=1), size=LABEL + 1, pad=3)
            _points(axes, points, groups, has_names)
            if axes_names is not None:
                axes.set_xlabel(axes_names[0], size=LABEL, color=SOFT, labelpad=2)
                axes.set_ylabel(axes_names[1], size=LABEL, color=SOFT, labelpad=2)
        _legend(figure, groups)
        return figure


def _points(axes: Axes, points: pd.DataFrame, groups: Sequence[str], has_names: bool) -> None:
    for position, group in enumerate(groups or [""]):
        same = points[points["group"] == group]
        axes.plot(
            same["x"], same["y"], "o", markersize=3.4 if has_names else 2.0, markeredgewidth=0,
            markerfacecolor=CATEGORIES[position % len(CATEGORIES)], alpha=0.9 if has_names else 0.6,
            rasterized=not has_names, gid=f"{axes.get_label()}|{group}",
        )  # fmt: skip
    axes.margins(0.12)
    axes.tick_params(length=2, width=0.4, labelsize=LABEL - 0.5, pad=2)
    for spine in axes.spines.values():
        spine.set_edgecolor(EDGE)
    if has_names:
        middles = points.groupby("text", sort=False)[["x", "y"]].mean()
        for name, same in points.groupby("text", sort=False):
            for x, y in zip(same["x"], same["y"], strict=True):  # datasets of one task
                middle = middles.loc[name]
                axes.plot([middle["x"], x], [middle["y"], y], "-", color=EDGE, linewidth=0.6, zorder=0)
        dots = points[["x", "y"]].to_numpy(float)
        place_names(axes, [str(name) for name in middles.index], middles.to_numpy(float), dots, LABEL - 1)
    for row in points.itertuples():
        image = getattr(row, "number", None)
        number_of = None if image is None or pd.isna(image) else int(image)
        spots.around(axes, row.x, row.y, row.lines, getattr(row, "cell", None), number_of)


def _legend(figure: Figure, groups: Sequence[str]) -> None:
    width, height = figure.get_size_inches()
    x = 0.5
    for position, group in enumerate(groups):
        colour = CATEGORIES[position % len(CATEGORIES)]
        figure.text(x / width, 0.1 / height, "●", size=LABEL, color=colour, va="center_baseline")
        figure.text((x + 0.1) / width, 0.1 / height, group, size=LABEL, color=INK, va="center_baseline")
        x += 0.22 + text_width(group, LABEL)
