-- Rows of the view predictions of one model (with its version or without), dataset, task and part, each unless it is NULL.
select *
from predictions
where (cast(:model as text) is null or model = :model or starts_with(model, :model || '/'))
  and (cast(:dataset as text) is null or test_dataset = :dataset)
  and (cast(:task as text) is null or task = :task)
  and (cast(:part as text) is null or part = :part)
order by model, test_dataset, task, image
