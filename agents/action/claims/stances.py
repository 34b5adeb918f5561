"""Whom a clause speaks of, by its words.

The patterns are matched against a clause's words in lower case with one space between them.
"""

import re
from collections.abc import Sequence

from agents.action.claims.claim import Stance
from agents.action.claims.words import Word, lexicon

FIRST = re.compile(r"\b(?:i|i'\w+|me|my|mine|myself|we|we'\w+|us|our|ours)\b")
# "A seven-year licence" is nobody's seven years.
_NO_CLAIM_BY_YEAR = (
    r"(?! (?:licen[cs]e|contract|term|programme|program|plan|project|period|grant)\b)"
)
# What takes up the clause before: "both of which I use", "is one I more than meet", "I have it".
BACK = re.compile(
    r"\b(?:which|something|one|(?<!so )that|skills|tools|things) (?:i|we)\b"
    r"|\b(?:of|with|in) which\b"
    r"|\b(?:so|as) (?:do|have|am|did) (?:i|we)\b|\band i (?:do|have|am|can)$"
    r"|^(?:and |as )?i (?:do|have|am)$"
    r"|^(?:\w+ )?(?:both|all|each|these|those) (?:of )?(?:\w+ )?(?:i|are|is|my)\b"
)
TAKES_UP = re.compile(
    r"^what (?:i|we) (?:\w+ed|built|wrote|rewrote|made|ran|led|did)\b"
    r"|\b(?:have|had|use|used|using|know|with|in|did|done|do|meet|match|tick|fit|bring|offer"
    r"|cover|of"
    r"|exceed|satisfy|check|ran|run|operate|built|describes?) (?:\w+ ){0,2}?(?:it|them|these"
    r"|those|both|all"
    r"|everything|each|every one|boxes)\b"
    r"|\b(?:done|do|did) (?:so|that|this|just|exactly)\b"
    r"|\b(?:i|we)(?: (?!would|could|will|hope|want|like|love|enjoy|need|look|see|understand|read"
    r"|find|think|miss|lack|don't|do|can|appreciate|value|see)\w+){1,4} (?:both|them)\b"
    r"(?! (?:\w+s|of|the|and)\b)"
    r"|\b(?:these|those|they|both|all) are (?:\w+ )?(?:tools|skills|things|what)\b"
    r"|\b(?:that|this)(?: is|'s| describes| matches)? (?:me|what i|exactly what|precisely what)\b"
)
"""What takes up what was said before: `I have plenty of it`, `these are the tools I use`."""
PENDING = re.compile(
    r"^(?:as soon )?(?:as|once|when|if|until) (?:i|we|you)(?: have|'ve)? \w+(?:ed|en) "
)
"""What is still to come: `once I have confirmed them`."""
# Skills that are missing, or wanted. "Not only", "no stranger to" and their like deny nothing.
_DENIED = re.compile(
    r"\bnot (?:something|a topic|a skill|a tool|one) i\b"
    r"|\b(?:have|has|had|'ve|am|'m|is|are|do|did|was) (?:not|never)\b(?! (?:only|just|new|merely"
    r"|shy|afraid|without|less|miss|stop|unfamiliar|fail|a stranger|need|require))"
    r"|\b(?:haven't|hasn't|don't|didn't|isn't|aren't|wasn't|can't|cannot)\b(?! (?:only|just|new"
    r"|go|wait|imagine|stop|help|hide|mind|hesitate|fail|remember|count|need|require))"
    r"|\b(?:i|we) (?:never) (?:used|worked|had|tried|learned|learnt|touched|did)\b"
    r"|\b(?:does not|doesn't) (?:yet )?(?:appear|feature|figure|show|stand)\b"
    r"|\b(?:is|are|be) (?:absent|missing|new (?:to|in|for) (?:me|my))\b"
    r"|\bnot yet\b|\byet to\b|\bno (?:prior |previous |direct |hands on |real |formal )?"
    r"experience\b|\black\b"
    r"|(?<!not )(?<!n't )(?<!hardly )(?<!nothing )\bnew to me\b|\b(?:am|'m) new to\b"
    r"|\b(?:to|and|of|for|start|starting|currently|am|i'm) learn(?:ing)?\b|\bchance to learn\b"
    r"|\bneed (?:some |a little |more )?time to\b|\bget(?:ting)? (?!.* again)(?:comfortable"
    r"|familiar"
    r"|up to speed)\b"
    r"|\bunfamiliar\b|\bless familiar\b"
)
DENIED_NOT = re.compile(
    r"\bnot (?:only|just|new|merely)\b|^(?:nothing|none|nobody|few)\b|\bhardly\b"
    r"|\b(?:never|not) (?:\w+ ){0,3}(?:mystery|foreign|strange|obstacle|hurdle|secret)\b"
    r"|\bthere (?:is|are) (?:no|not|nothing|little|few|hardly)\b|\bstranger\b"
    r"|\bno (?:secret|trouble|time)"
)
_OPEN = re.compile(
    r"^to the\b|\b(?:apply|applying|application|applicants|interested|interests?|excited"
    r"|exciting|keen|eager"
    r"|drawn|draws|curious|hope|hoping|wish|would|i'd|we'd|could|will|i'll|we'll|forward|glad"
    r"|happy to|consider|appeals?|appealing|attracts?|admire|saw|read|noticed|understand|please"
    r"|want|wants|plan|plans|propose|proposal|intend|thank|thanks|caught|stood out|suits?|fine"
    r"|works? for me|look for|looking for|registering|like that|i like|i love|i enjoy|regards"
    r"|dear|hello|hi|see you|count me in|tempting|idea|track|writing (?:to|about|in|with"
    r"|regarding)|reaching out"
    r"|in touch|submit|submitting|refer(?:ence|ring)|regarding|with re(?:gard|spect) to"
    r"|welcome (?:the|an?|any|your|honest|every)"
    r"|inspir(?:ed|ing)|fascinat(?:ed|ing)|motivat(?:ed|es|ing)|pleased|delighted|thrilled|grateful"
    r"|honou?red|(?:ready(?! to (?:run|use|operate)\b)|prepared|willing|open|available"
    r"|intending|hoping|aiming) (?:to|for)"
    r"|(?:i|we)(?: \w+ly| do| also)? (?:value|appreciate(?! \w+ for\b)|believe (?!in)"
    r"|recogni[sz]e (?:that"
    r"|the|how)|imagine|wonder"
    r"|respect|agree|share your|regard|note|gather|care (?:about|deeply)|take (?:care to"
    r"|care that|pride)"
    r"|think (?:that|the|this|it|a|about|good|an|your|we|such)|find (?:it|this|that|the|your|\w+ly)"
    r"|feel that)|(?:line|lines) up|aligns?|overlaps?|corresponds?"
    r"|(?:am|'m) (?:aware|confident that|sure that|convinced|grateful))\b"
)
# Words by which a wish speaks of what the applicant has: "excited to bring my expertise in ...".
HAS = re.compile(
    r"\b(?:experience[ds]?|expertise|expert|background|skills?|skilled|knowledge|proficien\w+|years"
    r"|(?<!a )(?<!per )(?<!each )(?<!every )(?<!this )(?<!next )year"
    rf"{_NO_CLAIM_BY_YEAR}"
    r"|decades?|having|(?:^|i |we |have |has |ve |also |and |often |which )used|worked|built|led"
    r"|managed|ran|brings|brought"
    r"|(?:bring|bringing)(?! (?:him|her|it|them|this|that|these|your|the)\b)"
    r"|gained|acquired|learned|learnt|mastered|mastery"
    r"|(?<!would )(?<!to )(?<!let me )(?<!you )know(?! (?:that|you|your)\b)"
    r"|known|(?:such as|like) (?:me|myself)"
    r"|trained|studied|career|grasp|(?:have|'ve) had"
    r"|since(?! (?:th|your|it\b|you|there|we\b|a\b|an\b|\w+ (?:is|are|will)\b))"
    r"|command|fluen\w+|graduated?|degree|track record|certif\w+|former\w*|previous\w*"
    r"|past|prior|held|hold|holder|(?:i|we|and|also) own|earned|won|joined|interned|employed"
    r"|familiar\w*"
    r"|about me|versed|comfortable(?! with the (?:idea|prospect|hours|rate|terms|schedule"
    r"|pace))|speak|native|credential\w*|qualif\w+|strengths?|already"
    r"|(?:i|we) (?:was|were) an?"
    r"|(?:i|we) read (?!your|the|that|about|through|this|with|on|it|of|in|how|an?\b|and)"
    r"|been|helped|did|spent|back (?:in|at|when|then)"
    r"|made|sold|taught|gave|took"
    r"|kept|drove|met|found|won|(?<!the )(?<!a )(?<!your )(?<!well )paid"
    r"|sent|spoke|went|came|rose|fell"
    r"|became|(?:after|during) (?!an?\b|th|your|it\b|we\b|you|delivery|launch)|shipped|wrote"
    r"|designed|developed|created|ran|saved|grew|cut)\b"
    r"|^(?:as an?|ex)\b|\bmy"
    r" (?!(?:strong |own |keen |full |first |main )?(?:plan|claim|location|city"
    r"|proposal|application|name"
    r"|idea|time|next|own|letter|attention"
    r"|part|pleasure"
    r"|thanks|interest|schedule|needs|mind|way|view|question|questions|hours|calendar"
    r"|first|project|approach|goal|hope|best|list|aim|intention|motivation|reply|impression"
    r"|view|focus"
    r"|enthusiasm|curiosity|attitude|commitment|availability|reasons?|thoughts|message|contribution"
    r"|interview|suggestion|guess|willingness|desire|ambition|curriculum|résumé|cv|sample|full))"
)
_POSTING = re.compile(
    r"^(?:(?:and|but|or|so|while|because|since|as|that|which|who|where|if|when|what|why|how|also"
    r"|here is what|although|though|than|for|in|with|at|from|to|of|on|is|are|something|one) )*"
    r"(?:you|you'\w+|your|the (?:role|position|job|posting|team|work|project|company|ad|listing"
    r"|description|bounty|grant|internship|gig|hackathon|opening|brief|programme|program|fund"
    r"|challenge|stipend|salary|pay|prize|deadline|tooling|privacy)"
    r"|this (?:role|position|job|posting|bounty|grant|internship|gig|hackathon|opening|project))\b"
    r"|^(?:and |but )?the \d"
    r"|\bi (?:also )?(?:know|see|understand|noticed|read|saw|realise|gather)"
    r" (?:that|how|why|what|you|your)"
    r"|\bi (?:also )?(?:noticed|see|saw|read|note|understand) .*\b(?:your|the posting)\b"
    r"|\b(?:does|do|can|could|will|would|is|are) (?:you|your|the)\b"
)
# Of the world at large, or of the posting without a word for it: "48 hours is short".
_IMPERSONAL = re.compile(
    r"\b(?:is|are|sounds?|leaves?|looks?|seems?|depends?|matters?|makes?|means?|deserves?|feels?"
    r"|requires?|needs?|takes?|remains?|there (?:must|may|might|will))\b"
)
# "The findings will be made public": nobody's deed here.
_PASSIVE = re.compile(r"\b(?:will|would|to|can|may|must|should) be (?:\w+ly )?\w+")
# "I appreciate that a native speaker will proofread", "with people who know it": others' deeds.
_OF_THIRDS = re.compile(
    r"\b(?:appreciate|like|see|note|understand|read|gather|noticed?|saw|reali[sz]e) that"
    r" (?!.*\b(?:i|my|me|mine|we|our)\b).*$"
    r"|(?<!few )(?<!rare )\b(?:people|someone|somebody|anyone|person|speaker"
    r"|(?!us\b|as\b)\w+s) (?:who|with (?:an? )?(?:experience|background|knowledge|skills))"
    r" (?!.*\b(?:i|my|me|mine|we|our)\b).*$"
)
# "What I would hope to gain from you is the knowledge of ...": a wish for what is not there yet.
_TO_GAIN = re.compile(
    r"\b(?:hope|want|wish|like|love|eager|keen|would|aim|seek\w*|chance|opportunity)"
    r" (?:\w+ )?to (?:\w+ly )?(?:gain"
    r"|acquire|learn|deepen|develop|get|obtain|expand|extend|strengthen|widen|broaden) .*$"
)
_MYSELF = re.compile(
    r"(?<!tell )(?<!let )(?<!give )(?<!to )(?<!interests )(?<!suits )(?<!show )(?<!for )"
    r"\b(?:me|mine|myself|us)\b"
)
# "Having a mentor would be a benefit to me", "the people who worked there before 1995 will not".
_IF_ONE_HAD = re.compile(r"^(?:and |but |so )?\w+ing (?:(?!i\b)\S+ ){1,8}(?:would|could|will) ")
_OTHERS = re.compile(r"^(?:the |those |these |many |some |most |all )?(?:people|(?!us\b)\w+s) who ")
_ASKS_ONESELF = re.compile(
    r"(?:have|do|am|can|did|was|will|would|could|what|how|why|where) (?:i|we|\w+ i)\b"
)
_SOUNDS = re.compile(r"\bsounds? \w+")
# "Your list of skills": what is asked for, by words of having.
_OF_YOURS = re.compile(
    r"\b(your (?:\w+ )?(?:lists?|requirements?|requests?|posting|ad|advert|advertisement"
    r"|description"
    r"|criteria|search|call|wish|preference)) (?:of|for)(?: at least| over"
    r"| more than)?(?: \w+){1,2}"
)
_OF_OTHERS = re.compile(
    r"\b(?:your|their|his|her)(?: own| team| shared| combined| collective)?"
    r" (?:experience|expertise|knowledge|skills|background|years)\b"
)
# "You will find an engineer with ten years": about the posting in form only.
_OFFERED = re.compile(
    r"\b(?:you(?:'ll| will| would|'d)? (?:get|find|gain|hire|receive)"
    r"|you(?:'ll| will| would|'d) have|in me|hire"
    r"|(?:strong|ideal|right|perfect|excellent|good|great|suitable|experienced|committed|reliable)"
    r" (?:candidate|applicant)|(?:candidate|applicant) (?:who|with)|someone like"
    r"|your (?:next|new|future|ideal|man|woman))\b"
)
_ASKED = re.compile(
    r"\b(?:mention|ask|require|prefer|want|look|seek|need|call|list|state|specif|expect|welcome"
    r"|invite|describe)(?:s|ed|red|ing|ies|y|d)?\b"
)
# What introduces a subject: "With regard to Kafka, ...".
TOPIC = re.compile(
    r"^(?:and |but )?(?:with (?:reference|regards?|respect) to|as (?:for|to|regards)"
    r"|regarding|concerning"
    r"|in (?:response|reply|answer|relation) to|in terms of|when it comes to|on the subject of)\b"
)
# Of the world at large: what has a subject and a verb, and names nobody who applies.
_GENERAL_SUBJECT = re.compile(
    r"^(?:(?:and|but|so|because|since|while|although|though|as|that|if|when|even) )*"
    r"(?:an?|any|each|every|many|most|much|some|such|few|all|these|those|this|that|it|there"
    r"|they|people"
    r"|nobody|everyone|someone|one|what|whoever|good|great|small|even|not|\w+ing|(?!as\b"
    r"|was\b)[a-z]+s)\b"
)
_SELF_PRAISE = re.compile(
    r"\b(?:experience[ds]?|expertise|expert|years?|decades?|track record|background|knowledge"
    r"|degree"
    r"|skill\w*|naturally|easily|nature|breath\w*|proven|certif\w+|graduate|who|me)\b"
    r"|^(?:leading|managing|mentoring|supervising|coaching)\b"
)
# A clause that only lists goes on with what stands before it, one with these words does not.
OWN = re.compile(
    r"\b(?:with|having|(?<!look )(?<!looking )after|from|at|used|worked|built|led|managed"
    rf"|experienced?|years?{_NO_CLAIM_BY_YEAR}"
    r"|since|as an?"
    r"|proficien\w+|skilled|fluent|certified|holder|graduate|former\w*|previous\w*|both of which)\b"
)


def _of_the_world(said: str) -> bool:
    if DENIED_NOT.search(said) or _SELF_PRAISE.search(said):
        return False
    if TOPIC.search(said):
        return True
    if not _GENERAL_SUBJECT.search(said):
        return False
    return not lexicon("general_verbs").isdisjoint(said.split()[1:])


def stance_of(
    said: str, words: Sequence[Word], organisation: frozenset[str], mark: str
) -> Stance | None:
    """Whom a clause speaks of, by its own words; None when they don't say."""
    if _DENIED.search(said) and not DENIED_NOT.search(said):
        return Stance.DENIED
    first = FIRST.search(said) is not None
    said = _TO_GAIN.sub("would", said)
    said = _OF_THIRDS.sub("would", _PASSIVE.sub("would", said)) if first else said
    said = _OF_OTHERS.sub("your", _OF_YOURS.sub(r"\1", said))
    of_posting = _POSTING.search(said) or (words and words[0].plain in organisation)
    if of_posting and not first:
        offered = _OFFERED.search(said) and not _ASKED.search(said)
        return Stance.CLAIMED if offered else Stance.OPEN
    if of_posting and not HAS.search(said) and not _MYSELF.search(said):
        return Stance.OPEN
    if _SOUNDS.search(said) or (mark == "?" and (not first or _ASKS_ONESELF.match(said))):
        return Stance.OPEN
    impersonal = _IMPERSONAL.search(said) and not DENIED_NOT.search(said)
    if impersonal and not first and not HAS.search(said):
        return Stance.OPEN
    if _IF_ONE_HAD.search(said) or (not first and _OTHERS.match(said)):
        return Stance.OPEN
    if not first and _of_the_world(said):
        return Stance.OPEN
    if _OPEN.search(said):
        return Stance.CLAIMED if HAS.search(said) else Stance.OPEN
    return Stance.CLAIMED if first else None
