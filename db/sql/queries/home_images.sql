-- Makes paths of pictures below a folder, the home or where it was, relative to it. Parameter: place (ends in /).
update image set path = substr(path, length(:place) + 1) where starts_with(path, :place)
