-- Notes where the pictures of a site are now; the places of the images are those of table `incoming`. Parameter: site.
update image set path = incoming.path
from incoming, site
where site.name = :site and image.site_id = site.id and image.name = incoming.name and image.path is not null
