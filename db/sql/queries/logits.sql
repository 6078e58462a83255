-- One row per (task, piece) of an evaluation: task_id, piece, logits. Parameter: evaluation_id.
-- For COPY.
select task_id, piece, logits from prediction where evaluation_id = %(evaluation_id)s order by piece, task_id
