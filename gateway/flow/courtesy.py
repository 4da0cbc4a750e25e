"""Words that everybody writes: a run of these alone was not copied from anybody.

Function words and courtesies of English letters, lower case, without apostrophes.
"""

_WORDS = """
a about above after again all also am an and any are as at back be because been before best but by can
cannot cant check come could day days dear did do does doesnt dont else email ever every feel few find finds
first for forward free from further get getting give go going good got great had happy has have havent having
he hear hearing hello help her here hesitate hi him his hope how i if im in information into is isnt it its
ive just kind kindest know last let like look looking made make many may me message might more most much must
my need new next no not now of off on once one only or other our out over own please possible question
questions reach reaching regarding regards reply same see send sent she should sincerely so some soon sorry
still such support sure take team than thank thanks that thats the their them then there these they thing
things this those through time to today tomorrow too touch under until up us very via want was way we week
well were weve what when where which while who why will wish with within without wont would write writing yes
yesterday yet you youll your youre yours youve
"""
COMMON = frozenset(_WORDS.split())
