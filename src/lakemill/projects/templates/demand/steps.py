"""The steps of the job: what a shop sold, what was known each morning, what comes next.

The SQL runs alike on DuckDB and on Spark. Money is kept in pence and quantities in whole units, so
that sums are exact and every engine gives the same numbers.
"""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

import lakemill as lm

RAW = Path(__file__).parent / "data" / "online_retail_2010_2011.parquet"
HORIZON = 28
"""Open days to forecast."""
SEASON = 6
"""Open days of a week: the shop is closed on Saturdays."""

# -- ingest ---------------------------------------------------------------------------------------

RULES = """
    select *,
      case
        when product is null or length(product) < 5 or try_cast(substr(product, 1, 5) as int) is null
          then 'no product: the stock code is missing or a service'
        when substr(invoice, 1, 1) = 'C' or quantity <= 0 then 'cancelled or returned'
        when pence <= 0 then 'no price'
        when copy > 1 then 'duplicate of another line'
      end as rule
    from (
      select *, row_number() over (
        partition by invoice, product, description, quantity, sold_at, pence, customer, country order by line
      ) as copy
      from lines
    ) numbered
"""

# A cancellation takes back the first sale before it, of the same day, customer, product and quantity, that none has taken
# back yet. Those that find no sale are as many as the balance of sales and cancellations ever falls below 0. Only the same
# day counts: what is known when the day is over may change that day's demand, what becomes known later may not.
TAKEN_BACK = """
    select line as sale from (
      select line, change,
             row_number() over (partition by customer, product, day, units, change order by sold_at, line) as nth,
             sum(case when change = -1 then 1 else 0 end) over (partition by customer, product, day, units)
               + least(min(balance) over (partition by customer, product, day, units), 0) as cancelled
      from (
        select *, sum(change) over (partition by customer, product, day, units order by sold_at, line rows unbounded preceding) as balance
        from (
          select line, customer, product, day, sold_at, abs(quantity) as units, case when rule is null then 1 else -1 end as change
          from judged
          where customer is not null and copy = 1 and (rule is null or (substr(invoice, 1, 1) = 'C' and quantity < 0))
        ) events
      ) balanced
    ) counted
    where change = 1 and nth <= cancelled
"""


def ingest(ws: lm.Workspace) -> str:
    """Sort the raw invoice lines into sales and quarantine; no line is lost."""
    lines = ws.sql(
        """
        select line, InvoiceNo as invoice, upper(trim(StockCode)) as product, Description as description,
               Quantity as quantity, cast(InvoiceDate as date) as day, InvoiceDate as sold_at,
               cast(round(UnitPrice * 100) as bigint) as pence, CustomerID as customer, Country as country
        from raw
        """,
        raw=raw_lines(),
    )
    columns = "line, invoice, product, description, quantity, day, sold_at, pence, customer, country"
    judged = ws.sql(RULES, lines=lines)
    judged = ws.sql(
        f"select {columns}, case when sale is null then rule else 'sold and cancelled on the same day' end as rule "
        "from judged left join taken_back on sale = line",
        judged=judged,
        taken_back=ws.sql(TAKEN_BACK, judged=judged),
    )
    sales = ws.table("main.retail.sales")
    quarantine = ws.table("main.retail.quarantine")
    sales.write(ws.sql(f"select {columns} from judged where rule is null", judged=judged), mode="overwrite")
    quarantine.write(
        ws.sql(f"select {columns}, rule from judged where rule is not null", judged=judged), mode="overwrite"
    )
    kept, caught = count(ws, "main.retail.sales"), count(ws, "main.retail.quarantine")
    if kept + caught != len(raw_lines()):
        raise ValueError(f"{kept} lines kept and {caught} caught are not the {len(raw_lines())} of {RAW.name}")
    return f"{kept:,} lines of sales, {caught:,} in quarantine"


def raw_lines() -> pa.Table:
    """Return the raw invoice lines, each with its number."""
    raw = pq.read_table(RAW)
    return raw.append_column("line", pa.array(range(len(raw)), pa.int64()))


# -- daily demand ---------------------------------------------------------------------------------


def daily_demand(ws: lm.Workspace) -> str:
    """One row per product and open day, from the product's first sale on; no sale is a 0."""
    days = ws.frames.to_arrow(ws.sql("select distinct day from s order by day", s="main.retail.sales")).read_all()
    ws.table("main.retail.calendar").write(calendar(days["day"].to_pylist()), mode="overwrite")
    demand = ws.sql(
        """
        select f.product, c.day, coalesce(s.quantity, 0) as quantity, coalesce(s.revenue_pence, 0) as revenue_pence
        from (select product, min(day) as first_day from sales group by product) f
        join calendar c on c.day >= f.first_day and c.is_past
        left join (
          select product, day, cast(sum(quantity) as bigint) as quantity,
                 cast(sum(quantity * pence) as bigint) as revenue_pence
          from sales group by product, day
        ) s on s.product = f.product and s.day = c.day
        """,
        sales="main.retail.sales",
        calendar="main.retail.calendar",
    )
    ws.table("main.retail.daily_demand").write(demand, mode="overwrite")
    products = count(ws, "main.retail.daily_demand", "count(distinct product)")
    return f"{count(ws, 'main.retail.daily_demand'):,} rows, {products:,} products, {len(days):,} open days"


def calendar(past: list[date]) -> pa.Table:
    """Return the open days that were, and as many as are forecast: every day of the week but Saturday."""
    day, future = past[-1], list[date]()
    while len(future) < HORIZON:
        day += timedelta(days=1)
        if day.weekday() != 5:
            future.append(day)
    days = [*past, *future]
    return pa.table(
        {
            "day": pa.array(days, pa.date32()),
            "is_past": [day <= past[-1] for day in days],
            "weekday": pa.array([day.weekday() for day in days], pa.int32()),
        }
    )


# -- features -------------------------------------------------------------------------------------


def features(ws: lm.Workspace) -> str:
    """What was known of each product on the morning of each day, in units of its usual daily change."""
    lm.features.write_table(
        ws,
        "main.retail.demand_features",
        known_in_the_morning(ws),
        mode="overwrite",
        primary_keys="product",
        timeseries_column="day",
    )
    lm.features.write_table(
        ws,
        "main.retail.weekday_features",
        known_of_weekdays(ws),
        mode="overwrite",
        primary_keys=("product", "weekday"),
        timeseries_column="day",
    )
    rows = count(ws, "main.retail.demand_features") + count(ws, "main.retail.weekday_features")
    return f"{rows:,} rows in two feature tables"


def known_in_the_morning(ws: lm.Workspace) -> lm.Frame:
    """Levels, peaks, rests and prices of each product, from the days before."""
    means = ", ".join(f"{mean(past(n))} / scale as mean_{n}" for n in (6, 12, 28, 56, 112))
    shares = ", ".join(
        f"avg(case when quantity > 0 then 1e0 else 0e0 end) {past(n)} as sold_{n}, max(quantity) {past(n)} / scale as max_{n}"
        for n in (28, 112)
    )
    return ws.sql(
        f"""
        select product, day, {means}, {shares}, {mean(past())} / scale as mean_all, max(quantity) {past(1)} / scale as last,
               sqrt(greatest({mean(past(), "quantity * quantity")} - {mean(past())} * {mean(past())}, 0.0)) / scale as deviation,
               position - max(case when quantity > 0 then position end) {past()} as days_since,
               {price(past(12))} / {price(past(112))} as price_change
        from d where scale is not null
        """,
        d=scaled(ws, past()),
    )


def known_of_weekdays(ws: lm.Workspace) -> lm.Frame:
    """Level of each product on each weekday; known from the next open morning on."""
    same_weekday = "over (partition by product, weekday order by day rows between {} preceding and current row)"
    until_now = "over (partition by product order by day rows between 47 preceding and current row)"
    return ws.sql(
        f"""
        select product, weekday, next_day as day, {mean(same_weekday.format(3))} / scale as weekday_4,
               {mean(same_weekday.format(7))} / scale as weekday_8,
               ({mean(same_weekday.format(7))} - {mean(until_now)}) / scale as weekday_gap
        from d where scale is not null and quantity is not null
        """,
        d=scaled(ws, "over (partition by product order by day rows between unbounded preceding and current row)"),
    )


def scaled(ws: lm.Workspace, known: str) -> lm.Frame:
    """Daily demand up to the next open day, with each product's usual change from day to day so far."""
    days = ws.sql(
        "select day, weekday, is_past, lead(day) over (order by day) as next_day, "
        "row_number() over (order by day) as position from c",
        c="main.retail.calendar",
    )
    demand = ws.sql(
        """
        select product, day, quantity, revenue_pence from d
        union all
        select p.product, n.day, cast(null as bigint), cast(null as bigint)
        from (select distinct product from d) p cross join (select min(day) as day from c where not is_past) n
        """,
        d="main.retail.daily_demand",
        c=days,
    )
    changes = ws.sql(
        "select d.*, c.weekday, c.next_day, c.position, "
        "d.quantity - lag(d.quantity) over (partition by product order by d.day) as change from d join c on c.day = d.day",
        d=demand,
        c=days,
    )
    square = mean(known, "change * change")
    usual = f"case when {square} > 0 then sqrt({square}) else greatest({mean(known)}, 1.0) end"
    return ws.sql(f"select *, {usual} as scale from d", d=changes)


def past(days: int | None = None) -> str:
    """Window over a product's days before this one."""
    start = "unbounded" if days is None else str(days)
    return f"over (partition by product order by day rows between {start} preceding and 1 preceding)"


def mean(window: str, of: str = "quantity") -> str:
    """Mean over a window; sums of whole numbers are exact."""
    return f"(cast(sum({of}) {window} as double) / count({of}) {window})"


def price(window: str) -> str:
    """Mean price in pence over a window, null where nothing was sold."""
    return f"(cast(sum(revenue_pence) {window} as double) / nullif(sum(quantity) {window}, 0))"


# -- train and forecast ---------------------------------------------------------------------------

train = lm.ManyTraining(
    training_set=lm.TrainingSet(
        spine="main.retail.daily_demand",
        lookups=(
            lm.FeatureLookup(
                table_name="main.retail.demand_features", lookup_key="product", timestamp_lookup_key="day"
            ),
            lm.FeatureLookup(
                table_name="main.retail.weekday_features", lookup_key=("product", "weekday"), timestamp_lookup_key="day"
            ),
        ),
        label="quantity",
    ),
    by="product",
    time="day",
    fit=lm.Forecasting(
        horizon=HORIZON,
        season=SEASON,
        calendar="main.retail.calendar",
        weight="revenue_pence",
        forecasters=(
            "lightgbm",
            "seasonal_naive",
            "historic_mean",
            "ses",
            "auto_ets",
            "auto_theta",
            "croston_sba",
            "tsb",
            "imapa",
        ),
        members=("lightgbm", "ses", "tsb"),
    ),
    registered_model="main.retail.demand",
    gate=lm.BetterThan(opponent="champion", metric="wrmsse", by=0.01),
    resources=lm.Resources(cpus=1),
)


def forecast(ws: lm.Workspace) -> str:
    """Forecast every product with the champion."""
    products = ws.sql("select distinct product from d order by product", d="main.retail.daily_demand")
    model = ws.models.load("main.retail.demand@champion")
    rows = model.predict(ws.frames.to_arrow(products).read_all().to_pandas())
    ws.table("main.retail.forecast").write(rows, mode="overwrite")
    return f"{len(rows):,} rows: {rows['product'].nunique():,} products, {rows['day'].nunique()} days"


def report(ws: lm.Workspace) -> str:
    """Write the report that a manager can open."""
    return str(lm.forecasting_report(ws, train, forecast="main.retail.forecast", quarantine="main.retail.quarantine"))


def count(ws: lm.Workspace, table: str, what: str = "count(*)") -> int:
    """Return one number of a table."""
    return int(ws.frames.to_arrow(ws.sql(f"select {what} as n from t", t=table)).read_all()["n"][0].as_py())
