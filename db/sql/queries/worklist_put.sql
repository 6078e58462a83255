-- Makes a worklist, and gives its id; nothing where one has this name. Parameters: name, task, source.
insert into worklist (name, task_id, source)
select :name, task.id, :source from task where task.name = :task
on conflict (name) do nothing
returning id
