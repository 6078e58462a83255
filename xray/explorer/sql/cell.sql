-- One row: the logits and labels of a cell's images that have both, as vectors, and n_unlabelled and n_unscored of the others.
-- Parameters: those of `scores`.
with scored as (
    -- include scores
)
select
    array_send(coalesce(array_agg(logit) filter (where logit is not null and label is not null), '{}')) as logits,
    array_send(coalesce(array_agg(label) filter (where logit is not null and label is not null), '{}')) as labels,
    count(*) filter (where label is null) as n_unlabelled,
    count(*) filter (where logit is null) as n_unscored
from scored
