-- Pictures of a home that was moved are where it is now. Parameters: former, home (paths without a slash at the end).
update image set path = :home || substr(path, length(:former) + 1) where starts_with(path, :former || '/')
