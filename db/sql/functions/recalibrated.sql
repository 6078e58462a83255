-- recalibrated(logit, intercept, slope, knots, probabilities): the calibrated logit of a logit by a row of `recalibration`, as
-- xray.stats.recalibration has it; NULL where the logit is NULL or NaN. Without knots intercept + slope · logit; with them the
-- logit of the probability that is linear between knots, and that of the end beyond. Logits beyond ±34.5 count as this.
create or replace function recalibrated(
    logit double precision, intercept double precision, slope double precision,
    knots double precision[], probabilities double precision[]
) returns double precision
language sql immutable parallel safe as $$
    select case when knots is null then intercept + slope * bounded.x else ln(p / (1 - p)) end
    from (select greatest(least(nullif(logit, 'NaN'), 34.5), -34.5) as x where nullif(logit, 'NaN') is not null) as bounded
    cross join lateral (select width_bucket(bounded.x, knots) as i) as place
    cross join lateral (
        select case
            when i < 1 then probabilities[1]
            when i >= cardinality(knots) then probabilities[cardinality(knots)]
            else probabilities[i]
                + (probabilities[i + 1] - probabilities[i]) * (bounded.x - knots[i]) / (knots[i + 1] - knots[i])
        end as p
    ) as read
$$;
