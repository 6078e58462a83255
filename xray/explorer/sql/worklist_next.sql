-- One row: the image of a worklist that a reader is to read next: position, image_id, and what the reader said of it before:
-- answer, comment. Parameters: id, reader; position (that one; else the first that the reader has said nothing of).
select worklist_image.position, worklist_image.image_id, worklist_read.answer, worklist_read.comment
from worklist_image
left join worklist_read on worklist_read.worklist_id = worklist_image.worklist_id
    and worklist_read.position = worklist_image.position and worklist_read.reader = %(reader)s
where worklist_image.worklist_id = %(id)s
    and worklist_image.position = %(position)s -- if position
    and worklist_read.answer is null -- if unread
order by worklist_image.position
limit 1
