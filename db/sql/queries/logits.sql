-- One row per task of an evaluation: task_id, logits (NULL where the output was never trained). Parameter: evaluation_id.
-- For COPY.
select task_id, logits from prediction where evaluation_id = %(evaluation_id)s
