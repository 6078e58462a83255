-- One row per (evaluation, task, piece) of some evaluations and findings, pieces in order: evaluation_id, task_id, logits.
-- Parameters: evaluation_ids, task_ids. For COPY.
select evaluation_id, task_id, logits
from prediction
where evaluation_id = any(%(evaluation_ids)s) and task_id = any(%(task_ids)s)
order by evaluation_id, piece, task_id
