"""What the panels of all dashboards look like."""

from collections.abc import Sequence

from grafana_foundation_sdk.builders import common, dashboard, heatmap, prometheus, stat, timeseries
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models import heatmap as heat
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
    VariableSort,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef(type_val="prometheus", uid="prometheus")
RUNBOOK = "/public/docs/operations.md"
"""docs/ where Grafana serves it."""

Query = tuple[str, str]
"""PromQL and the legend."""
Limits = Sequence[tuple[float, str]]
"""From which value on a figure has which colour; below the first it is green."""

RATE = "[$__rate_interval]"
MODEL = 'model=~"$model", instance=~"$instance"'


def target(query: Query, number: int) -> prometheus.Dataquery:
    """A query, named A, B, C, … in its panel."""
    expr, legend = query
    return prometheus.Dataquery().expr(expr).legend_format(legend).range().ref_id(chr(ord("A") + number))


def thresholds(limits: Limits) -> dashboard.ThresholdsConfig:
    """Colours by value."""
    steps = [Threshold(value=None, color="green"), *(Threshold(value, color) for value, color in limits)]
    return dashboard.ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)


def figure(
    title: str,
    description: str,
    *queries: Query,
    unit: str = "short",
    limits: Limits = (),
    decimals: int = 1,
    names: bool = False,
) -> stat.Panel:
    """The last value as a large number, with its history behind it; or the names of what there is now."""
    panel = stat.Panel().title(title).description(description).datasource(SOURCE).unit(unit).height(4).span(4)
    panel.thresholds(thresholds(limits)).graph_mode(looks.BigValueGraphMode.AREA)
    panel.color_scheme(dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS)).decimals(decimals)
    panel.reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"])).no_value("none")
    if names:
        panel.text_mode(looks.BigValueTextMode.NAME)
    return panel.targets(
        [each.instant() if names else each for each in (target(query, n) for n, query in enumerate(queries))]
    )


def lines(
    title: str,
    description: str,
    *queries: Query,
    unit: str = "short",
    limits: Limits = (),
    span: int = 8,
    log: bool = False,
    stack: bool = False,
    alert: str | None = None,
) -> timeseries.Panel:
    """Lines over time, with a table of their last and largest values."""
    panel = timeseries.Panel().title(title).description(description).datasource(SOURCE).unit(unit).height(8)
    panel.span(span).line_width(2).fill_opacity(10).show_points(looks.VisibilityMode.NEVER)
    panel.span_nulls(60_000.0).color_scheme(dashboard.FieldColor().mode(FieldColorModeId.PALETTE_CLASSIC))
    panel.legend(
        common.VizLegendOptions()
        .display_mode(looks.LegendDisplayMode.TABLE)
        .placement(looks.LegendPlacement.BOTTOM)
        .show_legend(True)
        .calcs(["lastNotNull", "max"])
    )
    panel.tooltip(common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI).sort(looks.SortOrder.DESCENDING))
    if log:
        scale = common.ScaleDistributionConfig().type(looks.ScaleDistribution.LOG).log(10)
        panel.scale_distribution(scale)
    else:
        panel.min(0)
    if stack:
        panel.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL).group("A")).fill_opacity(40)
    if unit == "percentunit":
        panel.max(1)
    if limits:
        style = common.GraphThresholdsStyleConfig().mode(looks.GraphThresholdsStyleMode.DASHED)
        panel.thresholds(thresholds(limits)).thresholds_style(style)
    if alert:
        link = dashboard.DashboardLink(f"Runbook of {alert}").url(f"{RUNBOOK}#{alert.lower()}").target_blank(True)
        panel.links([link])
    return panel.targets([target(query, number) for number, query in enumerate(queries)])


def heat_map(title: str, description: str, buckets: str, unit: str) -> heatmap.Panel:
    """How often each bucket of a histogram was hit."""
    panel = heatmap.Panel().title(title).description(description).datasource(SOURCE).height(8).span(8)
    panel.color(heatmap.HeatmapColorOptions().mode(heat.HeatmapColorMode.SCHEME).scheme("Blues").steps(64))
    panel.y_axis(heatmap.YAxisConfig().unit(unit).decimals(0)).cell_gap(1)
    return panel.targets([target((buckets, "{{le}}"), 0).format(PromQueryFormat.HEATMAP)])


def choice(name: str, label: str, query: str) -> dashboard.QueryVariable:
    """A variable to choose some or all values of a label."""
    variable = dashboard.QueryVariable(name).label(label).query(query).datasource(SOURCE)
    variable.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC)
    return variable.multi(True).include_all(True).all_value(".*")


def board(title: str, description: str, other: str) -> dashboard.Dashboard:
    """An empty dashboard that links to the other one and to the runbook, and marks alerts."""
    made = dashboard.Dashboard(title).uid(f"fewstep-{title.lower()}").description(description).tags(["fewstep"])
    made.refresh("10s").time("now-30m", "now").timezone("browser").tooltip(DashboardCursorSync.CROSSHAIR).readonly()
    made.link(dashboard.DashboardLink(other).url(f"/d/fewstep-{other.lower()}").keep_time(True).icon("dashboard"))
    made.link(dashboard.DashboardLink("Runbook").url(RUNBOOK).target_blank(True).icon("doc"))
    alerts = dashboard.AnnotationQuery().name("Alerts").datasource(SOURCE).enable(True).icon_color("red")
    return made.annotation(alerts.expr('max by (alertname) (ALERTS{alertstate="firing"})'))


def quantiles(histogram: str, labels: str) -> list[Query]:
    """Median and the slowest twentieth and hundredth."""
    query = "histogram_quantile({}, sum by (le) (rate({}_bucket{{{}}}{})))"
    return [(query.format(q, histogram, labels, RATE), f"p{round(q * 100)}") for q in (0.5, 0.95, 0.99)]


def mean(histogram: str, labels: str, legend: str, *, by: str = "", rate: bool = True) -> Query:
    """Mean of what a histogram observed lately or, for what is rare, since the start."""

    def total(of: str) -> str:
        series = f"{histogram}_{of}{{{labels}}}"
        return f"sum{f' by ({by}) ' if by else ''}({f'rate({series}{RATE})' if rate else series})"

    return f"{total('sum')} / {total('count')}", legend
