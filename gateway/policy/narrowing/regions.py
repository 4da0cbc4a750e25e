"""Sets of calls as unions of boxes: a box says for some looks at a call what may be seen there.

A look is at one argument, or at who calls: its value, its length, its domain, whether it was left out. What a box says
about an argument does not bind a call that leaves this argument out, except for the look that says so.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice, product
from typing import Final, NamedTuple, TypeAlias

from gateway.policy.narrowing.looks import FAILS, GIVEN, HOLDS, LEFT_OUT, Look, of_items
from gateway.policy.narrowing.sets import Set, within

_MAX_BOXES = 12

Seen: TypeAlias = Mapping[Look, Set]
"""What may be seen at each look; a look that is not mentioned may show anything."""


class Box(NamedTuple):
    """The calls that show at each look something within its set.

    Args:
        seen: The sets by look; none is full and none is empty.
        sure: Whether every such call truly belongs to the set of calls that the box is meant for. A box that is not
            sure only says that no other call belongs.
    """

    seen: Seen
    sure: bool = True


Region: TypeAlias = tuple[Box, ...]
NOTHING: Final[Region] = ()
EVERYTHING: Final[Region] = (Box({}),)
UNSURE: Final[Region] = (Box({}, sure=False),)


def box(seen: Seen, *, sure: bool = True) -> Region:
    """The region of one box; no box at all when nothing can be in it."""
    found = _clean(dict(seen))
    return NOTHING if found is None else (Box(found, sure),)


def meet(left: Region, right: Region) -> Region:
    """The calls that are in both."""
    if left is EVERYTHING or right is EVERYTHING:
        return right if left is EVERYTHING else left
    found: Region = NOTHING
    for one, other in product(left, right):
        seen = _both(one.seen, other.seen)
        if seen is not None:
            found = _added(found, Box(seen, one.sure and other.sure))
    return found


def join(left: Region, right: Region) -> Region:
    """The calls that are in either."""
    if left is EVERYTHING or right is EVERYTHING:
        return EVERYTHING
    for one in right:
        left = _added(left, one)
    return left


def surely_holds(region: Region, seen: Seen) -> bool:
    """Whether all calls that show this truly belong to the region's set."""
    return any(each.sure and _inside(seen, each.seen) for each in region)


def may_hold(region: Region, seen: Seen) -> bool:
    """Whether a call that shows this could be in the region."""
    return any(not _contradict(seen, each.seen) for each in region)


def known(region: Region, is_so: Callable[[Look, Set], bool | None]) -> Region:
    """The region without looks of which it is known what they show.

    Args:
        region: The region.
        is_so: Whether what is seen at a look lies within a set; None when that is not known.
    """
    found: Region = NOTHING
    for each in region:
        open_: dict[Look, Set] = {}
        for look, values in each.seen.items():
            if (answer := is_so(look, values)) is False:
                break
            if answer is None:
                open_[look] = values
        else:
            found = _added(found, Box(open_, each.sure))
    return found


def hull(region: Region) -> Seen:
    """The smallest box around a region that is not empty."""
    boxes = [_of_items(each.seen) for each in region]
    if len(boxes) == 1:
        return boxes[0]
    found: dict[Look, Set] = {}
    for look in {look for each in boxes for look in each}:
        sets = [each.get(look) for each in boxes if not _leaves_out(each, look)]
        if sets and None not in sets and not (joined := _joined(each for each in sets if each is not None)).is_full:
            found[look] = joined
    return found


def _of_items(seen: Seen) -> Seen:
    """With what is true of all items of a list said of the items."""
    if not any(look.among for look in seen):
        return seen
    found: dict[Look, Set] = {}
    for look, values in seen.items():
        if look.among is None:
            found[look] = values
        elif values == HOLDS:
            items = of_items(look)
            found[items] = found[items].meet(look.among) if items in found else look.among
    return found


def _joined(sets: Iterable[Set]) -> Set:
    first, *rest = sets
    for each in rest:
        first = first.join(each)
    return first


def _contradict(left: Seen, right: Seen) -> bool:
    """Whether no call shows both."""
    for look, values in right.items():
        if look.among is not None and values == FAILS and _all_among(left, look):
            return True
        before = left.get(look)
        if before is not None and before is not values and before.meet(values).is_empty:
            presence = look.presence
            if presence is None or left.get(presence) == GIVEN or right.get(presence) == GIVEN:
                return True
    return False


def _both(left: Seen, right: Seen) -> Seen | None:
    if not left or not right:
        return left or right
    both = dict(left)
    suspect = False
    for look, values in right.items():
        before = both.get(look)
        if before is None:
            both[look] = values
            suspect = suspect or (values == LEFT_OUT if look.presence is None else _leaves_out(left, look))
        elif before is not values and before != values:
            meeting = both[look] = before.meet(values)
            suspect = suspect or meeting.is_empty
    return _clean(both) if suspect else both


def _clean(seen: dict[Look, Set]) -> Seen | None:
    """Without looks that show anything; None when a call cannot be in it."""
    for look in [look for look, values in seen.items() if values.is_empty]:
        if look.presence is None or seen.get(look.presence, LEFT_OUT) != LEFT_OUT:
            return None
        seen[look.presence] = LEFT_OUT
    return {look: values for look, values in seen.items() if not values.is_full and not _leaves_out(seen, look)}


def _leaves_out(seen: Seen, look: Look) -> bool:
    return look.presence is not None and seen.get(look.presence) == LEFT_OUT


def _all_among(seen: Seen, look: Look) -> bool:
    items = seen.get(of_items(look))
    return items is not None and look.among is not None and within(items, look.among)


def _inside(small: Seen, large: Seen) -> bool:
    for look, values in large.items():
        found = small.get(look)
        if found is not None and (found is values or within(found, values)):
            continue
        is_true_of_all = look.among is not None and values == HOLDS and _all_among(small, look)
        if not is_true_of_all and not _leaves_out(small, look):
            return False
    return True


def _added(region: Region, new: Box) -> Region:
    """The region with one more box, which melts into another one where that loses nothing."""
    if not region:
        return (new,)
    kept = []
    for each in region:
        if (each.sure or not new.sure) and _inside(new.seen, each.seen):
            return region
        if (new.sure or not each.sure) and _inside(each.seen, new.seen):
            continue
        if each.sure is new.sure and (seen := _melted(each.seen, new.seen)) is not None:
            return _added(tuple(other for other in region if other is not each), Box(seen, new.sure))
        kept.append(each)
    found = (*kept, new)
    return found if len(found) <= _MAX_BOXES else (Box(hull(found), sure=False),)


def _melted(left: Seen, right: Seen) -> Seen | None:
    """One box for two that differ in a single look; None when they cannot be one."""
    different = list(islice(_differing(left, right), 3))
    presence = next((look for look in different if look.name == "absent"), None)
    if len(different) == 2 and presence and presence.path == different[0].path == different[1].path:
        # One lets the argument be left out; then it is enough that the other adds what may be given.
        if left.get(presence) == LEFT_OUT or right.get(presence) == LEFT_OUT:
            return None
        different.remove(presence)
    elif len(different) != 1:
        return None
    look = different[0]
    rest = {name: values for name, values in {**left, **right}.items() if name is not look and name is not presence}
    one, other = left.get(look), right.get(look)
    if one is None or other is None or (joined := one.join(other)).is_full:
        return rest
    return {**rest, look: joined}


def _differing(left: Seen, right: Seen) -> Iterator[Look]:
    """Where one leaves an argument out, it does not matter what the other one shows of it."""
    for look in left.keys() | right.keys():
        if left.get(look) != right.get(look) and not (_leaves_out(left, look) or _leaves_out(right, look)):
            yield look
