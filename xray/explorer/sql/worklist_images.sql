-- One row per image of a worklist, in its order: position, image_id, site, image, and patient. Parameter: id.
select worklist_image.position, worklist_image.image_id, site.name as site, image.name as image, image.patient
from worklist_image
join image on image.id = worklist_image.image_id
join site on site.id = image.site_id
where worklist_image.worklist_id = %(id)s
order by worklist_image.position
