"""Six questions about judgments, each answered with SQL and a chart: a marimo notebook.

marimo edit examples/questions.py -- --catalog .odds/warehouse/catalog.sqlite
marimo export html examples/questions.py -o questions.html -- --catalog .odds/warehouse/catalog.sqlite

It is read-only. The catalog is `--catalog`, ODDS_CATALOG, or that of `odds` in the working directory; `--data-path` or
ODDS_DATA_PATH name the folder or address of the data if it is not next to the catalog.
"""

# ruff: noqa: PLR0917 - the parameters of a cell are the names that it takes from other cells
import marimo

app = marimo.App(width="medium", app_title="Six questions about judgments")


@app.cell
def _():
    import os
    import textwrap

    import marimo as mo
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    from warehouse import open_warehouse

    return mo, mpl, open_warehouse, os, plt, textwrap


@app.cell
def _(mo, open_warehouse, os):
    catalog = mo.cli_args().get("catalog") or os.environ.get("ODDS_CATALOG") or ".odds/warehouse/catalog.sqlite"
    data_path = mo.cli_args().get("data-path") or os.environ.get("ODDS_DATA_PATH")
    warehouse = open_warehouse(catalog, data_path, at="opened")
    n_judgments, n_simulated = (
        warehouse.sql("SELECT n, n_simulated FROM progress WHERE stage = 'valid judgments'").to_pylist()[0].values()
    )
    share = f"{n_simulated:,} of {n_judgments:,} judgments are simulated"
    warning = (
        f"**{share}: nobody made them, and results based on them say nothing about how people judge.**"
        if n_simulated
        else f"{share}."
    )
    mo.md(f"""
    # Six questions about judgments

    Snapshot {warehouse.at} of the warehouse. {warning}

    All probabilities are in [0, 1]. `odds tables` says what every table and column means. Agreement figures are those
    that `odds agree` measured last.
    """)
    return n_judgments, n_simulated, share, warehouse


@app.cell
def _(mo, mpl, n_simulated, plt, share, warehouse):
    blue, orange, grey, red = "#2b6ca3", "#d9822b", "#8a8f98", "#b3261e"
    mpl.rcParams.update(
        {
            "figure.dpi": 110,
            "font.size": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlelocation": "left",
            "axes.titleweight": "bold",
            "legend.frameon": False,
        }
    )

    def picture(title, width=8.5, height=4.2, panels=1):
        """Return a figure with its axes, marked if judgments are simulated."""
        figure, axes = plt.subplots(1, panels, figsize=(width, height), layout="constrained", squeeze=False)
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
        if n_simulated:
            figure.supxlabel(f"SIMULATED: {share}", x=0.01, ha="left", fontsize=8, color=red)
        return figure, *axes[0]

    def nothing(axes, words):
        """Explain in a figure why it is empty."""
        axes.text(0.5, 0.5, words, ha="center", va="center", color=grey, transform=axes.transAxes)
        axes.set_axis_off()

    def ask(question, query):
        """Return the rows of a query, and the question with the query as text."""
        return warehouse.sql(query).to_pylist(), mo.md(f"## {question}\n\n```sql\n{query.strip()}\n```")

    return blue, grey, orange, red, ask, nothing, picture


@app.cell
def _(blue, grey, ask, mo, nothing, picture):
    def _draw():
        rows, text = ask(
            "1. Do annotators agree, and does agreement change with time?",
            """
SELECT slice, value, low, high, n_judgments
FROM agreement_history
WHERE is_newest AND metric = 'interval_alpha' AND scope = 'valid judgments' AND (slice = 'all' OR slice LIKE 'week=%')
ORDER BY slice
""",
        )
        figure, axes = picture("Agreement week by week: Krippendorff's interval alpha with its 95% interval")
        weeks = [row for row in rows if row["slice"] != "all" and row["value"] is not None]
        whole = next((row for row in rows if row["slice"] == "all" and row["value"] is not None), None)
        if whole is None:
            nothing(axes, "Agreement has not been measured yet; run odds agree.")
            return text, figure
        axes.axhspan(whole["low"], whole["high"], color=grey, alpha=0.15, lw=0)
        label = f"all weeks: {whole['value']:.2f} [{whole['low']:.2f}, {whole['high']:.2f}]"
        axes.axhline(whole["value"], color=grey, lw=1.2, label=label)
        places = range(len(weeks))
        values = [row["value"] for row in weeks]
        below = [row["value"] - row["low"] for row in weeks]
        above = [row["high"] - row["value"] for row in weeks]
        axes.errorbar(places, values, yerr=[below, above], fmt="o-", color=blue, lw=1.5, elinewidth=1, capsize=3)
        names = [f"{row['slice'].removeprefix('week=')}\nn = {row['n_judgments']}" for row in weeks]
        axes.set_xticks(places, names, fontsize=8)
        axes.set(ylim=(min(0, *(row["low"] for row in rows if row["low"] is not None)), 1))
        axes.set_xlabel("week starting on (n: judgments)")
        axes.set_ylabel("interval alpha (1: agreement, 0: chance)")
        axes.legend(loc="upper right", fontsize=9)
        return text, figure

    mo.vstack(_draw())


@app.cell
def _(blue, grey, red, ask, mo, nothing, picture, textwrap):
    def _draw():
        rows, text = ask(
            "2. Which propositions divide the annotators?",
            """
SELECT d.hypothesis, d.sd, d.mean, list(v.probability ORDER BY v.probability) AS judgments
FROM (SELECT * FROM disagreement WHERE n_judgments >= 3 ORDER BY sd DESC, proposition_id LIMIT 10) d
JOIN valid_judgments v ON v.proposition_id = d.proposition_id
GROUP BY ALL
ORDER BY d.sd
""",
        )
        figure, axes = picture("The ten propositions with the largest disagreement", height=6.2)
        if not rows:
            nothing(axes, "No proposition has three judgments yet.")
            return text, figure
        for place, row in enumerate(rows):
            axes.hlines(place, min(row["judgments"]), max(row["judgments"]), color=grey, lw=0.8, alpha=0.6)
            axes.plot(row["judgments"], [place] * len(row["judgments"]), "o", color=blue, alpha=0.55, ms=7, mec="white")
            axes.plot(row["mean"], place, "|", color=red, ms=16, mew=2)
            axes.text(1.03, place, f"{row['sd']:.2f}", va="center", fontsize=9, transform=axes.get_yaxis_transform())
        axes.text(1.03, len(rows) - 0.4, "SD", fontsize=9, fontweight="bold", transform=axes.get_yaxis_transform())
        names = [textwrap.shorten(textwrap.fill(row["hypothesis"], 46), 92, placeholder=" …") for row in rows]
        names = [textwrap.fill(name, 46) for name in names]
        axes.set_yticks(range(len(rows)), names, fontsize=8.5)
        axes.set(xlim=(-0.02, 1.02), xlabel="judged probability (dots: judgments, bar: their mean)")
        axes.grid(axis="x", alpha=0.25)
        return text, figure

    mo.vstack(_draw())


@app.cell
def _(blue, grey, orange, ask, mo, nothing, picture):
    def _draw():
        rows, text = ask(
            "3. How does each annotator compare with the others?",
            """
SELECT a.pseudonym AS annotator, coalesce(a.annotator_group, 'no group') AS annotator_group,
  q.n_compared, q.pearson_with_rest, q.mean_difference
FROM annotator_quality q JOIN annotators a ON a.annotator_id = q.annotator_id
WHERE q.pearson_with_rest IS NOT NULL
ORDER BY q.pearson_with_rest, annotator
""",
        )
        figure, left, right = picture("Each annotator and the mean of the others", height=4.8, panels=2)
        if not rows:
            nothing(left, "No annotator shares ten propositions\nwith others yet.")
            nothing(right, "")
            return text, figure
        shown = rows if len(rows) <= 40 else rows[:20] + rows[-20:]
        groups = sorted({row["annotator_group"] for row in shown})
        colours = dict(zip(groups, [blue, orange, "#4b8b3b", "#7a4fa3", grey] * len(groups), strict=False))
        for place, row in enumerate(shown):
            colour = colours[row["annotator_group"]]
            left.hlines(place, 0, row["pearson_with_rest"], color=colour, lw=1, alpha=0.4)
            left.plot(row["pearson_with_rest"], place, "o", color=colour)
            right.hlines(place, 0, row["mean_difference"], color=colour, lw=1, alpha=0.4)
            right.plot(row["mean_difference"], place, "o", color=colour)
        left.set_yticks(range(len(shown)), [row["annotator"] for row in shown], fontsize=8.5)
        right.set_yticks([])
        left.set(xlim=(min(0, shown[0]["pearson_with_rest"]) - 0.03, 1), xlabel="correlation with the others (Pearson)")
        right.set_xlabel("own judgment minus the others' mean\n(a probability; right: judges higher)")
        right.axvline(0, color=grey, lw=1)
        edge = max(abs(row["mean_difference"]) for row in shown) * 1.15 or 0.1
        right.set_xlim(-edge, edge)
        for group in groups:
            left.plot([], [], "o", color=colours[group], label=group)
        figure.legend(loc="outside upper right", ncols=len(groups), fontsize=8.5)
        return text, figure

    mo.vstack(_draw())


@app.cell
def _(blue, grey, ask, mo, nothing, picture):
    def _draw():
        rows, text = ask(
            "4. How accurate are the labelers, and how fine are their answers?",
            """
WITH judged AS (
  SELECT proposition_id, avg(probability) AS mean FROM valid_judgments GROUP BY proposition_id
)
SELECT e.labeler, list(e.probability ORDER BY e.proposition_id) AS estimates,
  list(j.mean ORDER BY e.proposition_id) AS means, count(DISTINCT e.probability) AS n_distinct,
  CASE WHEN stddev_pop(e.probability) > 0 AND stddev_pop(j.mean) > 0 THEN corr(e.probability, j.mean) END AS pearson
FROM recalibrated_estimates e JOIN judged j ON j.proposition_id = e.proposition_id
GROUP BY e.labeler
ORDER BY pearson DESC NULLS LAST, e.labeler
LIMIT 3
""",
        )
        title = "Estimates of labelers and mean judgments"
        if not rows:
            figure, axes = picture(title)
            nothing(axes, "No labeler has estimated these propositions yet; run odds elicit.")
            return text, figure
        figure, *panels = picture(title, panels=len(rows), width=min(8.5, 1 + 3.4 * len(rows)))
        for axes, row in zip(panels, rows, strict=True):
            axes.plot([0, 1], [0, 1], color=grey, lw=0.8, ls="--")
            axes.plot(row["means"], row["estimates"], "o", color=blue, alpha=0.45, ms=5, mec="white")
            r = "undefined" if row["pearson"] is None else f"{row['pearson']:.2f}"
            axes.set_title(f"{row['labeler']}\nr = {r}, distinct values: {row['n_distinct']}", fontsize=9)
            axes.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), aspect="equal", xlabel="mean judgment")
        panels[0].set_ylabel("estimate of the labeler")
        return text, figure

    mo.vstack(_draw())


@app.cell
def _(blue, grey, orange, ask, mo, nothing, picture):
    def _draw():
        rows, text = ask(
            "5. Do annotators use the whole slider, or a few round numbers?",
            """
SELECT floor(probability * 100 + 0.5)::INTEGER AS points, count(*) AS n,
  count(*) FILTER (abs(probability * 10 - round(probability * 10)) < 1e-9) AS n_round
FROM valid_judgments
GROUP BY points
ORDER BY points
""",
        )
        figure, axes = picture("Distribution of judgments: round numbers stand out")
        total = sum(row["n"] for row in rows)
        if not total:
            nothing(axes, "There are no judgments yet.")
            return text, figure
        at_tens = sum(row["n_round"] for row in rows)
        points, heaped = [row["points"] for row in rows], [row["n_round"] for row in rows]
        axes.bar(points, heaped, width=0.9, color=orange, label=f"exactly at a multiple of 10: {at_tens / total:.0%}")
        rest = [row["n"] - row["n_round"] for row in rows]
        axes.bar(points, rest, width=0.9, bottom=heaped, color=blue, label=f"elsewhere: {1 - at_tens / total:.0%}")
        axes.axhline(total / 101, color=grey, lw=1, ls="--", label="even spread")
        axes.set(xlim=(-1.5, 101.5), xlabel="judgment (points of 100)", ylabel="judgments per point (count)")
        axes.set_xticks(range(0, 101, 10))
        axes.legend(loc="upper center", fontsize=8.5, ncols=3, bbox_to_anchor=(0.5, 1.1))
        return text, figure

    mo.vstack(_draw())


@app.cell
def _(blue, grey, orange, ask, mo, nothing, picture):
    def _draw():
        rows, text = ask(
            "6. How many judgments per proposition are enough?",
            """
SELECT k, k * value / (1 + (k - 1) * value) AS reliability, k * low / (1 + (k - 1) * low) AS low,
  k * high / (1 + (k - 1) * high) AS high
FROM (
  SELECT value, low, high FROM agreement_history
  WHERE is_newest AND metric = 'interval_alpha' AND scope = 'valid judgments' AND slice = 'all' AND low > 0
), range(1, 21) AS t(k)
ORDER BY k
""",
        )
        figure, axes = picture("How reliable is the mean of k judgments?")
        if not rows:
            nothing(axes, "No agreement above chance has been measured yet; run odds agree.")
            return text, figure
        k = [row["k"] for row in rows]
        axes.fill_between(k, [row["low"] for row in rows], [row["high"] for row in rows], color=blue, alpha=0.15, lw=0)
        label = "k alpha / (1 + (k - 1) alpha), with the 95% interval of alpha"
        axes.plot(k, [row["reliability"] for row in rows], "o-", color=blue, ms=4, label=label)
        axes.legend(loc="center right", fontsize=9)
        for number, wanted in enumerate((0.7, 0.8, 0.9)):
            axes.axhline(wanted, color=grey, lw=0.8, ls=":")
            enough = next((row for row in rows if row["reliability"] >= wanted), None)
            if enough is not None:
                axes.vlines(enough["k"], 0, enough["reliability"], color=orange, lw=1)
                axes.plot(enough["k"], enough["reliability"], "o", color=orange, ms=8, zorder=3)
                words = f"k = {enough['k']} for {wanted}"
                axes.text(enough["k"] + 0.15, 0.05 + 0.09 * number, words, fontsize=9, color="#a35a10")
        axes.set(
            xlim=(0.5, 20.5), ylim=(0, 1), xlabel="k: judgments per proposition", ylabel="reliability of their mean"
        )
        axes.set_xticks(range(1, 21))
        return text, figure

    mo.vstack(_draw())


if __name__ == "__main__":
    app.run()
