"""What has to hold of images: what callers were told is there, each request_id was answered once, and what was made is metered, to the image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from services.analytics.model.events import UNITS
from services.capabilities.metering.model import Unit
from tools.survival.images.callers import Caller
from tools.survival.images.index import Made, Row
from tools.survival.usage import Account, Tally, added


def hold_callers(
    index: Mapping[str, Row], generations: Sequence[Made], callers: Sequence[Caller]
) -> list[str]:
    """What each was told is in the index, unless it has deleted it; what does not hold."""
    faults = [fault for caller in callers for fault in caller.faults]
    owners = {image_id: one for one in generations for image_id in one.image_ids}
    deleted = {image_id for caller in callers for image_id in caller.deleted}
    for caller in callers:
        for image in caller.images:
            row = index.get(image.image_id)
            if image.image_id in deleted:
                if row is not None:
                    faults.append(f"{image.image_id} was deleted, and is in the index")
            elif row is None:
                faults.append(f"{image.image_id} was told to a caller, and is not in the index")
            elif (row.sha256, row.size_bytes, row.user_id) != (image.sha256, image.size_bytes, image.user_id):
                faults.append(f"{image.image_id} is another image than its caller was told")
            if owners[image.image_id].request_id != caller.request_id:
                faults.append(f"{image.image_id} was made for another request_id")
    return faults


def hold_generations(index: Mapping[str, Row], generations: Sequence[Made], deleted: int) -> list[str]:
    """A generation that was completed has its images but for the deleted ones, others have none; and none was made twice."""
    faults = []
    by_id = {one.generation_id: one for one in generations}
    of_completed = {image_id for one in generations if one.state == "completed" for image_id in one.image_ids}
    if missing := len(of_completed - index.keys()) - deleted:
        faults.append(
            f"{missing} images of completed generations are not in the index, and nobody deleted them"
        )
    faults += [f"{one} is in the index, and was not completed" for one in sorted(index.keys() - of_completed)]
    faults += [
        f"{row.image_id} is in the index for a generation that is not its own"
        for row in index.values()
        if row.image_id not in by_id[row.generation_id].image_ids
    ]
    sets = Counter(
        (one.caller, one.request_id) for one in generations if one.request_id and one.state == "completed"
    )
    faults += [
        f"{count} sets of images were made for the request_id {request_id}"
        for (_, request_id), count in sets.items()
        if count > 1
    ]
    return faults


def books_of(generations: Sequence[Made]) -> Mapping[Account, Tally]:
    """What the table of generations says of usage."""
    place = UNITS.index(Unit.IMAGES)
    rows = []
    for one in generations:
        amounts = [0] * len(UNITS)
        amounts[place] = one.images
        rows.append((Account(one.user_id, one.model, one.status or 0, refused=False), (1, *amounts)))
    return added(rows)
