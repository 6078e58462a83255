-- Puts images into a new worklist in this order. Parameters: worklist_id, image_ids.
insert into worklist_image (worklist_id, position, image_id)
select :worklist_id, listed.position, listed.image_id
from unnest(cast(:image_ids as integer[])) with ordinality as listed (image_id, position)
