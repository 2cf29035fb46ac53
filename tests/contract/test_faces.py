"""`POST /faces`: the answer's shape, which faces, in which order, and where things are."""

import pytest
from bodies import group, jpeg, opened, png
from client import Client
from document import assert_faces
from PIL import Image, ImageOps


def test_the_answer_has_the_documented_keys_and_types(device: Client, portrait: bytes) -> None:
    faces = assert_faces(device.post("/faces", portrait))

    assert len(faces) == 1


def test_a_picture_without_a_face_is_a_success(device: Client) -> None:
    assert assert_faces(device.post("/faces", png(Image.new("RGB", (640, 480), "grey")))) == []


def test_a_picture_of_one_pixel_has_no_face(device: Client) -> None:
    assert assert_faces(device.post("/faces", png(Image.new("RGB", (1, 1))))) == []


def test_the_box_is_square_and_about_the_face(device: Client, portrait: bytes) -> None:
    (face,) = assert_faces(device.post("/faces", portrait))
    box, points = face["box"], face["landmark"]["lm_points"]

    assert box["width"] == pytest.approx(box["height"], abs=1e-4)
    nose = points[46]
    assert box["x"] + box["width"] * 0.3 < nose["x"] < box["x"] + box["width"] * 0.7
    assert box["y"] + box["height"] * 0.3 < nose["y"] < box["y"] + box["height"] * 0.8


def test_a_box_may_reach_past_the_border(device: Client, hopper: bytes) -> None:
    image = opened(hopper)
    (whole,) = assert_faces(device.post("/faces", hopper))
    cut = round(whole["box"]["x"] + 0.2 * whole["box"]["width"])

    (face,) = assert_faces(device.post("/faces", jpeg(image.crop((cut, 0, image.width, image.height)))))

    assert face["box"]["x"] < 0


def test_faces_come_largest_first(device: Client, portrait: bytes, hopper: bytes) -> None:
    people = group([opened(portrait), opened(hopper), opened(portrait)], [420, 600, 800])

    faces = assert_faces(device.post("/faces", jpeg(people)))

    sides = [face["box"]["width"] for face in faces]
    assert len(sides) == 3
    assert sides == sorted(sides, reverse=True)


@pytest.mark.parametrize("count", [1, 2])
def test_detectcount_keeps_the_largest(device: Client, portrait: bytes, hopper: bytes, count: int) -> None:
    people = jpeg(group([opened(portrait), opened(hopper), opened(portrait)], [420, 600, 800]))
    everybody = assert_faces(device.post("/faces", people))

    assert assert_faces(device.post(f"/faces?detectcount={count}", people)) == everybody[:count]


def test_ten_faces_are_the_default(device: Client, portrait: bytes) -> None:
    crowd = opened(portrait).crop((90, 0, 360, 280))
    picture = Image.new("RGB", (270 * 4, 280 * 3))
    for number in range(12):
        picture.paste(crowd, (270 * (number % 4), 280 * (number // 4)))

    assert len(assert_faces(device.post("/faces", jpeg(picture)))) == 10
    assert len(assert_faces(device.post("/faces?detectcount=12", jpeg(picture)))) == 12


def test_sizes_are_pixels_of_the_posted_picture(device: Client, portrait: bytes) -> None:
    (face,) = assert_faces(device.post("/faces", portrait))
    side = round(face["box"]["width"])

    assert len(assert_faces(device.post(f"/faces?minsize={side - 8}", portrait))) == 1
    assert len(assert_faces(device.post(f"/faces?minsize={side + 8}", portrait))) == 0
    assert len(assert_faces(device.post(f"/faces?maxsize={side + 8}", portrait))) == 1
    assert len(assert_faces(device.post(f"/faces?maxsize={side - 8}", portrait))) == 0


def test_faces_below_48_pixels_are_not_asked_for_by_default(device: Client, portrait: bytes) -> None:
    small = jpeg(opened(portrait).resize((160, 160), Image.Resampling.LANCZOS), quality=98)

    assert assert_faces(device.post("/faces", small)) == []
    assert len(assert_faces(device.post("/faces?minsize=20", small))) == 1


def test_the_points_are_the_vendors(device: Client, portrait: bytes) -> None:
    (face,) = assert_faces(device.post("/faces", portrait))
    x, y = ([point[axis] for point in face["landmark"]["lm_points"]] for axis in ("x", "y"))

    assert x[0] < x[16] < x[32]
    assert y[16] == max(y)
    assert x[33] < x[37] < x[38] < x[42]
    assert y[43] < y[44] < y[45] < y[46] < y[49]
    assert x[52] < x[104] < x[55] < x[58] < x[105] < x[61]
    assert y[72] < y[104] < y[73]
    assert y[75] < y[105] < y[76]
    assert x[84] < x[96] < x[87] < x[100] < x[90]
    assert y[87] < y[98] <= y[102] < y[93]
    assert x[80] < x[46] < x[81]
    assert (x[72] + x[73]) / 2 == pytest.approx(x[74], abs=5)


def test_a_mirrored_picture_flips_roll_and_keeps_pitch(device: Client, portrait: bytes) -> None:
    leaning = opened(portrait).rotate(-15, expand=True)
    (face,) = assert_faces(device.post("/faces", png(leaning)))

    (mirrored,) = assert_faces(device.post("/faces", png(ImageOps.mirror(leaning))))

    assert mirrored["pose"]["roll"] == pytest.approx(-face["pose"]["roll"], abs=5)
    assert mirrored["pose"]["pitch"] == pytest.approx(face["pose"]["pitch"], abs=5)


@pytest.mark.parametrize("clockwise", [-20, 20])
def test_roll_is_the_clockwise_lean(device: Client, portrait: bytes, clockwise: int) -> None:
    (straight,) = assert_faces(device.post("/faces", portrait))

    (leaning,) = assert_faces(device.post("/faces", png(opened(portrait).rotate(-clockwise, expand=True))))

    assert leaning["pose"]["roll"] - straight["pose"]["roll"] == pytest.approx(clockwise, abs=6)


@pytest.mark.parametrize(("stretch", "sign"), [(1.6, 1), (0.6, -1)])
def test_yaw_is_positive_when_the_nose_points_to_the_pictures_right(
    device: Client, portrait: bytes, stretch: float, sign: int
) -> None:
    image = opened(portrait)
    (face,) = assert_faces(device.post("/faces", portrait))
    nose = round(face["landmark"]["lm_points"][46]["x"])
    width = round(nose * stretch)
    turned = Image.new("RGB", (width + image.width - nose, image.height))
    turned.paste(image.crop((0, 0, nose, image.height)).resize((width, image.height)), (0, 0))
    turned.paste(image.crop((nose, 0, image.width, image.height)), (width, 0))

    (face,) = assert_faces(device.post("/faces", png(turned)))

    assert face["pose"]["yaw"] * sign > 5


def test_the_timing_names_the_stages(device: Client, portrait: bytes) -> None:
    timing = device.post("/faces", portrait).headers["Server-Timing"]

    stages = {entry.partition(";")[0]: float(entry.partition("dur=")[2]) for entry in timing.split(", ")}
    assert {"decode", "detect", "landmarks"} <= set(stages)
    assert all(stages[name] > 0 for name in ("decode", "detect", "landmarks"))
    assert 0 < sum(duration for name, duration in stages.items() if name != "total") <= stages["total"] + 0.1
