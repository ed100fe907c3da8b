"""What the API answers, typed; the OpenAPI document is made of these."""

from pydantic import BaseModel, Field


class Problem(BaseModel):
    """Every error."""

    error: str = Field(description="What was found.")
    what_to_do: str = Field(description="What to do about it.")


class Place(BaseModel):
    """One place of the index that looks like the photo."""

    rank: int = Field(description="1 is the best.")
    row: int = Field(description="The image's row of the index; it addresses thumbnails, maps and heatmaps.")
    name: str
    distance: float = Field(description="Squared L2 distance of the descriptors; 0 for the same picture.")
    cosine: float | None = Field(description="Cosine of the descriptors, where they are unit vectors.")
    east: float | None = Field(description="UTM metres.")
    north: float | None = Field(description="UTM metres.")
    latitude: float | None = Field(description="Degrees, WGS 84.")
    longitude: float | None = Field(description="Degrees, WGS 84.")
    map_link: str | None = Field(
        description="OpenStreetMap, for people to follow; nothing is loaded from it."
    )
    metres_from_photo: float | None = Field(description="From where the photo's own EXIF says it was taken.")
    thumbnail: str = Field(description="Path of the image's thumbnail.")


class SentPhoto(BaseModel):
    """What was understood of the photo."""

    width: int
    height: int
    described_width: int = Field(description="As the network saw it.")
    described_height: int
    latitude: float | None = Field(description="From its EXIF.")
    longitude: float | None


class Localized(BaseModel):
    """The answer to a photo."""

    photo: SentPhoto
    places: list[Place]
    seconds: float = Field(description="From the end of the upload to the answer, waiting included.")


class Health(BaseModel):
    """What is asked here, and how busy it is."""

    status: str
    version: str
    index: str = Field(description="The index file's name.")
    images: int
    dimensions: int
    network: str = Field(description="The network file's name.")
    network_id: str
    engine: str
    heatmaps: list[str] = Field(description="Kinds of heatmaps that this network can draw.")
    inside: int = Field(description="Requests that are being read, wait or are computed.")
    places: int = Field(description="The most that may be.")
    upload_bytes: int = Field(description="The largest photo that is taken.")
    photo_pixels: int
    top: int = Field(description="The most places that one request may ask for.")
