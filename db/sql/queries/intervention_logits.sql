-- One row per task of an intervention: task_id, logits (of the evaluation's images in their order; NaN where there is none).
-- For COPY. Parameter: intervention_id.
select task_id, logits from intervention_score where intervention_id = %(intervention_id)s order by task_id
