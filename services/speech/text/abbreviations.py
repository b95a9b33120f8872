"""Words behind which a full stop says little, and words that begin sentences, in the languages that are spoken most.

One table serves all languages: a text's language is often not told, and a text often has names of another. Words are in lower
case and without their last full stop.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ALWAYS = _words(
    """
    mr mrs messrs mx dr prof rev gen lt sgt capt cmdr adm gov sen pres supt vs cf viz approx esp e.g i.e
    sr sra srta sres sras dra dña lic arq sto sta avda gral tte ej excmo excma p.ej dn
    mme mlle mmes mlles mgr vve p.ex c.-à-d
    hr fr frl bzw ca vgl evtl ggf inkl exkl sog bspw geb gest mio mrd hrsg z.b d.h u.a z.t i.d.r o.ä u.ä
    sig sigg dott dott.ssa sig.ra avv on.le exmo exma profa dhr mevr mw drs bijv d.w.z o.a i.p.v
    t.ex f.eks bl.a dvs s.k np tzn tj tzw ul św inż např tzv mudr judr pl ún kb özv bkz doç yrd esim
    ул им т.е см проф акад напр тыс млн млрд π.χ
    """
)
"""A sentence does not end with these: something follows that belongs to them."""

BEFORE_NUMBERS = _words(
    """
    no nos nr nro núm num fig figs pp pag pág págs vol vols ch chap sec sect art arts par eq eqs ver op cap abb kap bd tab
    kl č tel стр рис гл jan feb mar apr jun jul aug sep sept oct nov dec ene abr ago dic janv févr avr juil déc okt dez
    """
)
"""These are abbreviations when a number follows, and else mostly the last words of sentences: No."""

SOMETIMES = _words(
    """
    inc ltd co corp jr snr bros dept est st mt ft ave blvd rd al ms rep hon col gmbh str ud uds vd vds av ing ind
    bull cie mm руб др обл κ usw
    """
)
"""A sentence may end with these; it does when a word follows that begins sentences."""

OPENERS = _words(
    """
    the a an this that these those he she it we they you i there then but and or so if when where what who why how his
    her its my our your their in on at for with as after before however also not no yes here some many one
    el la los las un una él ella ellos ellas yo tú usted ustedes nosotros esto eso este esta ese esa pero y si sí cuando como en por
    para además luego entonces hay es son su sus mi qué
    le les une il elle ils elles on nous vous je ce cette ces mais et dans pour quand puis c'est c’est
    der die das ein eine er sie wir ihr ich du dies diese dieser dieses dann und aber wenn im am auf mit für nach
    lo gli uno lei loro noi voi questo questa ma e se non poi o os as um uma ele ela eles nós você isto mas não
    de het een hij zij wij ik dit dat maar als det han hun hon vi den och og men
    он она оно они мы вы я это но и а в на если когда потом
    """
)
"""Words that a sentence often begins with, and a name seldom."""

PARTICLES = _words("la le les lo das der den el los las il on in as i de os")
"""Openers that names have in them as well: J. La Salle."""

MONTHS = _words("januar jänner februar märz april mai juni juli august september oktober november dezember")
"""Months that are written with a capital behind an ordinal: 3. Mai."""

ORDINAL_LANGUAGES = _words("de lb da nb nn no is fo fi et lv cs sk sl hr bs sr hu tr pl eu")
"""Languages that write ordinals with a full stop: der 2. Weltkrieg."""
