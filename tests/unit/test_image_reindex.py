"""The index made anew: what comes back, and what a look into the wrong store can not do."""

from __future__ import annotations

from services.image.usecases.reindex import Reindex, Reindexed
from tests.fakes.blobs_memory import MemoryBlobs
from tests.fakes.image_stage import ImageStage, call, person


async def made(stage: ImageStage, count: int) -> None:
    """So many images of one person, filed."""
    async with stage.process() as process:
        await process.generate(person(), call(count=count), None)
        for group in {filing.group for filing in stage.store.filings.values()}:
            await process.filer.file(group, 5)


async def reindexed(
    stage: ImageStage, blobs: MemoryBlobs, *, prune: bool = False, sure: bool = False
) -> Reindexed:
    return await Reindex(stage.store, blobs)(prune=prune, sure=sure, on_progress=lambda _: None)


async def test_pruning_in_a_store_without_images_does_nothing() -> None:
    stage = ImageStage()
    await made(stage, 3)
    done = await reindexed(stage, MemoryBlobs(), prune=True)
    assert (done.indexed, done.seen, done.missing, done.removed, done.refused) == (3, 0, 3, 0, True)
    assert len(stage.store.images) == 3


async def test_pruning_in_the_store_of_another_deployment_does_nothing() -> None:
    stage, other = ImageStage(), ImageStage()
    await made(stage, 2)
    await made(other, 4)
    done = await reindexed(stage, other.blobs, prune=True)
    assert (done.indexed, done.missing, done.removed, done.refused) == (2, 2, 0, True)


async def test_after_a_wrong_pruning_a_right_look_brings_all_back() -> None:
    stage = ImageStage()
    await made(stage, 3)
    before, objects = dict(stage.store.images), stage.blobs.objects
    done = await reindexed(stage, MemoryBlobs(), prune=True, sure=True)
    assert (done.removed, stage.store.images, stage.store.filings) == (3, {}, {})
    again = await reindexed(stage, stage.blobs, prune=True)
    assert (again.added, again.missing, again.refused) == (3, 0, False)
    assert (stage.store.images, stage.blobs.objects) == (before, objects)


async def test_an_image_that_is_gone_leaves_the_index_and_what_is_damaged_is_told() -> None:
    stage = ImageStage()
    await made(stage, 4)
    gone, damaged, *_ = stage.store.images.values()
    await stage.blobs.delete(stage.keys_of(gone))
    (original,) = (key for key in stage.keys_of(damaged) if key.endswith("original.png"))
    await stage.blobs.delete([original])
    done = await reindexed(stage, stage.blobs, prune=True)
    assert (done.missing, done.removed, done.refused) == (2, 2, False)
    assert [each.why for each in done.unreadable] == ["its image/original.png is not there"]
    assert stage.store.filings == {}
