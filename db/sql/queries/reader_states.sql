-- One row per (reader, task): reader_id, task_id, states of the dataset's images in order. Parameter: dataset_id. For COPY.
select reader_label.reader_id, reader_label.task_id, reader_label.states
from reader join reader_label on reader_label.reader_id = reader.id
where reader.dataset_id = %(dataset_id)s
order by reader_label.reader_id, reader_label.task_id
