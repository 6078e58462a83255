-- Keeps what a reader says of an image of a worklist, in place of what the same reader said of it before; nothing where the
-- worklist has no such image. Parameters: worklist_id, position, reader, answer, comment, read_at (NULL: now).
insert into worklist_read (worklist_id, position, reader, answer, comment, read_at)
select worklist_id, position, :reader, :answer, :comment, coalesce(cast(:read_at as timestamptz), now())
from worklist_image where worklist_id = :worklist_id and position = :position
on conflict (worklist_id, position, reader)
do update set answer = excluded.answer, comment = excluded.comment, read_at = excluded.read_at
returning position
