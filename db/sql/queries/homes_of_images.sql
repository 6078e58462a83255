-- One row per folder in which drawn pictures are registered by their absolute path: place. Where a home is or was whose
-- pictures were registered before paths were relative to it.
select distinct regexp_replace(image.path, '/phantom/[^/]+/images/[^/]+$', '') as place
from image
join site on site.id = image.site_id and site.synthetic
where image.path ~ '^/.*/phantom/[^/]+/images/[^/]+$'
