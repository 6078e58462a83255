-- One row per other image of an image's patient: image_id, image, view, age. Parameter: id.
select other.id as image_id, other.name as image, other.view, other.age
from image
join image as other on other.site_id = image.site_id and other.patient = image.patient and other.id <> image.id
where image.id = %(id)s
order by other.name
limit 60
