-- The names of one kind (model, dataset, task, part) that scores are stored under.
select distinct
    case cast(:kind as text) when 'model' then model when 'dataset' then test_dataset when 'task' then task else part end as name
from prediction_vectors
order by name
