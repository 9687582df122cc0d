"""Other words for sounds: what people type for what a caption says.

A row applies to captions in which its pattern is found, whatever file or folder they come from, so its
phrases must be right for every sound that such a caption can mean. Phrases are labels, as typed into a
search box; paraphrases.py makes noun phrases and sentences of them.
"""

from __future__ import annotations

import re

# pattern of a caption (lower case) -> labels
SYNONYMS: dict[str, tuple[str, ...]] = {
    # animals
    r"\bcats? (meow|miaow)": ("cat meowing", "meowing cat", "cat meow", "kitty meowing", "a cat saying meow"),
    r"\b(small )?dogs? (bark|barks|barking)\b": (
        "dog barking", "barking dog", "dog bark", "woof", "bark of a dog", "hound barking", "doggy barking",
    ),
    r"\bpuppy barks": ("puppy barking", "little dog barking", "young dog barking", "yapping puppy"),
    r"\bdog whines": ("dog whining", "whimpering dog", "little dog whining"),
    r"\bcows? moo": ("cow mooing", "mooing cow", "moo", "cattle lowing"),
    r"\b(sheep|lambs?) bleat": ("sheep bleating", "bleating", "baa", "bleating lamb"),
    r"\bgoats? bleat": ("goat bleating", "bleating goat"),
    r"\brooster (crow|crows|crowing)": (
        "rooster crowing", "crowing rooster", "cock crowing", "cock-a-doodle-doo", "cockerel",
    ),
    r"\bchickens? cluck": ("chicken clucking", "hen clucking", "clucking hen", "farm chicken"),
    r"\bducks? quack": ("duck quacking", "quacking duck", "quacking"),
    r"\b(goose|geese) honk": ("goose honking", "geese calling", "honking geese"),
    r"\bturkey gobbles": ("turkey gobbling", "gobbling turkey"),
    r"\bhorses? neigh": ("neighing horse", "whinny", "a horse whinnies", "horse neigh"),
    r"\b(horse gallop|horse hooves|horse gallops)": (
        "galloping hooves", "hoofbeats", "horse trotting", "clip clop",
    ),
    r"\bpig (grunts|snorts)": ("pig grunting", "oink", "hog snorting", "snorting pig"),
    r"\bwol(f|ves) howl": ("wolf howling", "howling wolf", "howl of a wolf", "wolves howling"),
    r"\bcoyotes? howl": ("coyote howling", "howling coyotes", "coyote yelping"),
    r"\blion roars": ("roaring lion", "roar of a lion", "big cat roaring"),
    r"\b(tiger|leopard) (roars|growls|snarls)": ("big cat growling", "wild cat roaring", "snarling big cat"),
    r"\bbear growls": ("growling bear", "bear growl"),
    r"\belephant trumpets": ("elephant trumpeting", "trumpeting elephant", "elephant call"),
    r"\bcrow caws": ("crow cawing", "cawing crow", "caw"),
    r"\braven croaks": ("raven croaking", "croaking raven"),
    r"\b(sea)?gulls? call": ("seagull calling", "gulls screeching", "seagulls squawking", "seagull cry"),
    r"\bpigeon coos": ("pigeon cooing", "cooing dove", "cooing"),
    r"\bowl hoots": ("owl hooting", "hooting owl", "hoot of an owl", "an owl at night"),
    r"\bparrot squawks": ("parrot squawking", "squawking parrot"),
    r"\bpeacock calls": ("peacock calling", "peacock cry"),
    r"\bwoodpecker pecks": ("woodpecker pecking", "woodpecker drumming on a tree", "pecking woodpecker"),
    r"\b(song)?birds? (sing|sings|singing|chirp|chirping)\b": (
        "bird singing", "birdsong", "chirping bird", "bird chirping", "tweeting bird", "bird song",
        "bird tweeting",
    ),
    r"\b(robin|sparrow|canary|bluebird|meadowlark|blackbird|vireo|yellowthroat|dipper)\b.* sings?": (
        "bird singing", "bird song", "songbird", "birdsong",
    ),
    r"\bfrogs? croak": ("frog croaking", "croaking frog", "ribbit", "frogs at a pond", "toad croaking"),
    r"\bcrickets? chirp": ("crickets chirping", "chirping crickets", "cricket", "crickets at night"),
    r"\bgrasshopper": ("grasshopper chirping", "chirping insect"),
    r"\bcicadas?": ("cicadas", "cicada buzzing", "buzzing insects"),
    r"\b(bees?|bumblebee) buzz": ("bee buzzing", "buzzing bee", "bee", "buzzing insect"),
    r"\bmosquito": ("mosquito buzzing", "buzzing mosquito", "mosquito"),
    r"\bsnake hisses": ("snake hissing", "hissing snake"),
    r"\brattlesnake": ("rattlesnake rattling", "rattling snake"),
    r"\bsquirrel (chatters|calls)": ("squirrel chattering", "chattering squirrel"),
    r"\bwings fluttering": ("flapping wings", "bird flapping its wings"),
    # weather, water, fire
    r"^distant thunder": (
        "thunder far away", "thunder in the distance", "far thunder", "faraway thunderstorm",
    ),
    r"\bthunder(storm)?\b(?!.*drum)": (
        "thunder", "rolling thunder", "thunderclap", "rumbling thunder", "thunder rolling",
    ),
    r"^heavy rain": ("heavy rain", "pouring rain", "downpour", "rain pouring down", "torrential rain"),
    r"^(light rain|drizzle)": ("light rain", "gentle rain", "drizzle", "soft rain falling", "rain dripping"),
    r"^rain( falling)?$": ("rain", "raining", "rainfall", "rain falling", "raindrops", "it is raining"),
    r"\brainstorm": ("rainstorm", "storm with rain", "stormy rain"),
    r"^(a gust of )?wind( blowing)?$": (
        "wind", "wind blowing", "blowing wind", "gusty wind", "windy weather",
    ),
    r"\bhowling wind": ("howling wind", "snow storm", "wind howling", "winter storm"),
    r"^wind outdoors": ("wind outside", "windy day", "wind blowing outside"),
    r"\b(sea waves|waves on a beach|small waves)": (
        "ocean waves", "waves", "sea", "surf", "waves rolling in", "seaside", "ocean surf", "beach waves",
    ),
    r"\ba stream$|^running water$": (
        "stream", "running water", "brook", "flowing water", "creek", "babbling brook",
    ),
    r"\briver": ("river", "flowing river", "water rushing", "rushing river"),
    r"\bwaterfall": ("waterfall", "falling water", "water rushing down"),
    r"^(water|underwater) (bubbling|boiling)|\bbubbles?( in water)?$": (
        "bubbling", "bubbles", "bubbling water",
    ),
    r"\bwater boiling": ("boiling water", "water boiling", "kettle of boiling water"),
    r"\bwater drop\b": ("water drop", "dripping water", "drip", "a drop of water falls"),
    r"\bwater splash|\bsplashing": ("splash", "splashing water", "water splashing", "splashing"),
    r"\bpouring|\bliquid pouring": (
        "pouring a drink", "liquid being poured", "pouring liquid", "filling a glass",
    ),
    r"\bwater in a sink": ("tap running", "running tap", "faucet running", "water running into a sink"),
    r"\bshower$": ("shower", "shower running", "water from a shower", "someone taking a shower"),
    r"\btoilet flushing": ("toilet flush", "toilet", "flushing toilet", "flush"),
    r"\b(a |crackling )fire( burning| crackling| crackles)?\b(?!.*(hose|works))": (
        "fire", "crackling fire", "fire crackling", "campfire", "burning fire", "flames crackling",
        "burning wood",
    ),
    r"\bwildfire": ("wildfire", "forest fire", "flames"),
    r"\blighting a match": ("match being struck", "striking a match", "lighting a match", "match lit"),
    r"\bsteam (hissing|roaring)|\bhissing spray|hydraulic hiss": (
        "steam", "hissing steam", "hiss", "hissing",
    ),
    r"\bsizzling": ("sizzling", "frying", "sizzling pan", "food frying"),
    r"\bfireworks?\b": ("fireworks", "firework", "fireworks exploding", "firecracker"),
    # people
    r"\bbaby (cries|crying)": (
        "baby crying", "crying baby", "infant crying", "baby cry", "newborn baby crying",
    ),
    r"\bsneez": ("sneeze", "sneezing", "a sneeze", "somebody sneezes", "person sneezing"),
    r"\b(laughs|laughter|laughing)\b": ("laughter", "laughing", "laugh", "someone laughing", "haha"),
    r"\bevil laugh": ("evil laugh", "villain laughing", "sinister laughter"),
    r"\b(screaming|yelling)\b": (
        "scream", "screaming", "shouting", "yell", "someone screaming", "someone yelling",
    ),
    r"\bsnoring": ("snoring", "snore", "someone snoring", "a snoring sleeper"),
    r"\b(breathing|panting)\b": ("breathing", "breath", "someone breathing", "panting"),
    r"\bchewing|\beating|\bmunching": ("eating", "chewing", "munching", "crunching food", "someone eating"),
    r"\bbiting into an apple": ("apple bite", "crunchy apple", "bite of an apple"),
    r"\bwhispering": ("whispering", "whisper", "a whispering voice"),
    r"\bvomiting": ("vomiting", "throwing up", "puking"),
    r"\bgargling": ("gargling", "gargling with water"),
    r"\bpeople talking": ("people talking", "chatter", "conversation", "voices"),
    r"^a crowd$": ("crowd", "crowd noise", "many people", "crowd of people"),
    r"\b(crowd|people) cheering": ("cheering", "cheering crowd", "people cheering", "crowd cheers"),
    r"\bhand clap$": ("clap", "hand clap", "single clap of hands"),
    r"^applause|\bhand claps$": (
        "applause", "clapping", "people clapping", "audience applauding", "hand clapping",
    ),
    r"\bfinger snap": ("finger snap", "snap", "fingers snapping", "snap of the fingers"),
    r"^footsteps\b|\bfootstep\b": ("footsteps", "steps", "walking", "someone walking", "person walking"),
    r"\bfootsteps? .*(snow|ice)": ("walking in snow", "snow crunching underfoot", "footsteps in the snow"),
    r"\bfootsteps? .*gravel|crunching gravel|gravel crunching": (
        "walking on gravel", "gravel underfoot", "gravel path",
    ),
    r"\bfootsteps? .*(wood|floor)": ("walking indoors", "footsteps indoors", "shoes on a floor"),
    r"\bup stairs": ("climbing stairs", "walking upstairs", "footsteps on stairs"),
    r"\bknock on a door|banging on a wooden door": (
        "knocking", "door knock", "knock knock", "knocking on the door",
    ),
    r"\btyping on a keyboard": (
        "typing", "keyboard", "keyboard typing", "computer keyboard", "typing on a computer",
    ),
    r"\bhammering": ("hammering", "hammer", "hammer blows", "banging with a hammer"),
    r"\bsawing|\bhacksaw": ("sawing", "saw", "hand saw", "sawing wood"),
    r"\bchopping (wood|a tree|with an axe)": ("chopping wood", "axe", "wood chopping", "axe hitting wood"),
    r"\bwriting with": ("writing", "scribbling", "handwriting"),
    r"\bturning pages": ("page turning", "turning a page", "pages of a book", "book pages"),
    # machines and traffic
    r"\bcar engine\b|\bv8 engine|\bengine (running|idling)": (
        "car engine", "engine running", "motor running", "engine", "car motor", "running engine",
    ),
    r"\bengine starts": ("engine starting", "starting a car", "car starting", "ignition"),
    r"\bmotorbike": ("motorcycle", "motorbike", "motorcycle engine", "idling motorcycle"),
    r"\bdriving in a car": ("driving", "inside a moving car", "car driving", "car ride"),
    r"\bcars? honk|\bcar horn": ("car horn", "honking", "car honking", "horn", "beep beep", "honk"),
    r"\bcar alarm": ("car alarm", "alarm of a car", "car alarm going off"),
    r"\btires squealing": ("screeching tires", "tires screeching", "car skidding", "squealing tyres"),
    r"\bhelicopter": (
        "helicopter", "chopper", "helicopter flying", "helicopter rotor", "helicopter overhead",
    ),
    r"\bjet airplane|\bairplane": (
        "airplane", "plane", "jet plane", "aeroplane", "jet flying by", "plane overhead",
    ),
    r"\b(a|an underground|subway) train\b(?!.*whistle)": (
        "train", "railway", "train passing", "train on tracks",
    ),
    r"\b(subway|underground)\b": ("subway", "metro", "underground railway"),
    r"\btrain whistle": ("train whistle", "whistle of a train", "locomotive whistle"),
    r"\bpolice siren": ("siren", "police siren", "emergency siren", "police car", "wailing siren"),
    r"\breversing beeper": ("truck reversing", "reverse beeping", "vehicle backing up"),
    r"\bchainsaw": ("chainsaw", "chain saw", "chainsaw running"),
    r"\bpower drill|\ba drill|\bmachine drill": ("drill", "power drill", "drilling", "electric drill"),
    r"\bvacuum cleaner": ("vacuum cleaner", "hoover", "vacuuming", "vacuum"),
    r"\bhair dryer": ("hairdryer", "hair dryer", "blow dryer"),
    r"\bblender": ("blender", "mixer", "kitchen blender"),
    r"^a fan$": ("fan", "electric fan", "ventilator"),
    r"\bprinter|\bphotocopier": ("printer", "office printer", "printing"),
    r"\bcamera shutter": ("camera click", "camera", "taking a photo", "shutter click", "photo being taken"),
    r"\bclock tick|\bwatch tick": ("ticking clock", "clock", "tick tock", "clock ticking", "ticking"),
    r"\btelephone|\bphone tone": (
        "telephone", "phone ringing", "ringing phone", "telephone ringing", "phone",
    ),
    r"\balarm\b(?!.*car)": ("alarm", "alarm sounding", "alarm going off", "warning alarm"),
    r"\bdoorbell": ("doorbell", "door bell", "doorbell ringing", "bell at the door"),
    r"\bchurch bell|\bmonastery bell": (
        "church bells", "church bell", "bells tolling", "tolling bell", "cathedral bells",
    ),
    r"\bwind chimes": ("wind chimes", "chimes", "chimes in the wind", "windchime"),
    r"\bbicycle bell": ("bicycle bell", "bell of a bike", "bike bell"),
    r"\bmusic box": ("music box", "musical box", "music box melody"),
    r"\bradio static": ("static", "radio static", "static noise", "white noise"),
    # things
    r"\bdoors? (opens|closes|shuts|slams)|\bclosing door": ("door", "door closing", "a door", "door sound"),
    r"\bdoors? slams": ("slamming door", "door slam", "door slamming", "door banged shut"),
    r"\b(creaky door|door creaks|door creaking)": (
        "creaking door", "door creaking", "door creak", "squeaky door",
    ),
    r"\bglass (breaking|smashing)": (
        "breaking glass", "glass breaking", "shattering glass", "glass smash", "smashed glass",
    ),
    r"\bkeys jingling|\bkey ring": ("keys", "jingling keys on a ring", "key chain", "keys jangling"),
    r"\bcoins? (clinking|dropping|spinning)|^a coin": (
        "coin", "coins", "coin drop", "money", "coins jingling",
    ),
    r"\bcrumpling paper|\bpaper bag": ("crumpling paper", "paper", "paper crumpling", "rustling paper"),
    r"\b(tearing|ripping) (cloth|paper)": ("tearing", "ripping", "rip", "something being torn"),
    r"\bzipper": ("zipper", "zip", "zipping", "zipper being pulled"),
    r"\bvelcro": ("velcro", "velcro ripping", "opening velcro"),
    r"\bballoon pops": ("balloon popping", "balloon burst", "popping balloon", "pop"),
    r"\bcork popping": ("cork pop", "popping cork", "opening a bottle of wine"),
    r"\bchains? rattl": ("rattling chains", "chains", "chain rattle"),
    r"\bswords? clashing": ("sword fight", "swords clashing", "clashing swords", "blades clashing"),
    r"\b(swoosh|whoosh|swish)\b": ("whoosh", "swoosh", "swish", "whooshing sound"),
    r"\bpunch$": ("punch", "punching", "fist hit", "a blow"),
    r"\bexplosion|\bexploding": ("explosion", "blast", "bomb", "big bang", "boom", "something exploding"),
    r"\bgunshot|\b(pistol|rifle|shotgun) shot": (
        "gunshot", "gun", "shot", "gun firing", "shooting", "firing a gun",
    ),
    r"\bmachine gun": ("machine gun", "automatic gunfire", "gunfire", "machine gun firing"),
    r"\blaser (zap|gun)": ("laser", "laser gun", "zap", "laser blast", "ray gun"),
    r"\bping pong ball|\b(tennis )?ball bouncing": ("bouncing ball", "ball", "ball bouncing", "bounce"),
    r"\bmetal (hit|clang|strike)|\bhitting metal|\bclangs?$": (
        "metal clang", "clang", "metallic clang", "clanging metal", "metal hit", "metal being struck",
    ),
    r"\bmetal scrape|\bscraping metal": ("scraping metal", "metal scraping", "metallic scrape"),
    r"\bwood (hit|slap)|\bhitting wood": ("knock on wood", "wood hit", "hitting wood", "wooden knock"),
    r"\bboing|\bspring$": ("boing", "spring", "bouncing spring"),
    r"\bsqueak(y|s)? (toy|like)|\brubber toy": ("squeaky toy", "toy squeaking", "rubber toy"),
    # music
    r"\bpiano\b": ("piano", "piano playing", "piano music", "keyboard instrument"),
    r"\bguitar\b": ("guitar", "guitar playing", "guitar music", "string instrument"),
    r"\bflute\b": ("flute", "flute playing", "wind instrument"),
    r"\bviolin\b": ("violin", "fiddle", "string instrument"),
    r"\bcello\b": ("cello", "bowed strings"),
    r"\btrumpet fanfare": ("trumpet", "fanfare", "trumpets"),
    r"\b(snare|kick|bass|tom|conga|tabla|war|hand) drum": ("drum", "drum hit", "drumming", "percussion"),
    r"\bcymbal|\bhi-hat": ("cymbal", "cymbals", "drum kit cymbal"),
    r"\bgong\b": ("gong", "gong hit", "ringing gong"),
    r"\bsynthesizer\b": ("synthesizer", "synth", "electronic sound", "electronic music"),
}  # fmt: skip

# Words of a caption that may be replaced whatever the rest says: of the same grammar and meaning.
WORDS: dict[str, tuple[str, ...]] = {
    "airplane": ("aeroplane", "plane"),
    "automobile": ("car",),
    "big": ("large",),
    "breaking": ("shattering",),
    "car": ("automobile", "vehicle"),
    "cloth": ("fabric",),
    "coin": ("metal coin",),
    "creaks": ("squeaks", "groans"),
    "distant": ("faraway", "far-off", "remote"),
    "explosion": ("blast", "detonation"),
    "faint": ("quiet",),
    "gunshot": ("shot",),
    "heavy": ("strong",),
    "helicopter": ("chopper",),
    "hitting": ("striking", "banging on"),
    "huge": ("enormous", "massive"),
    "loud": ("noisy", "very loud"),
    "motor": ("engine",),
    "motorbike": ("motorcycle",),
    "path": ("trail",),
    "pistol": ("handgun",),
    "rooster": ("cock", "cockerel"),
    "scrape": ("scratch",),
    "sea": ("ocean",),
    "slams": ("bangs shut",),
    "small": ("little", "tiny"),
    "soft": ("gentle", "quiet"),
    "stream": ("brook", "creek"),
    "subway": ("metro", "underground"),
    "synthesizer": ("synth",),
    "telephone": ("phone",),
    "thunderstorm": ("storm with thunder", "lightning storm"),
    "trash": ("garbage",),
    "yelling": ("shouting",),
}

_PATTERNS = tuple((re.compile(pattern), labels) for pattern, labels in SYNONYMS.items())


def labels_for(caption: str) -> tuple[str, ...]:
    """The labels of every row whose pattern is found in a caption, without repeats."""
    text = caption.lower()
    found = [label for pattern, labels in _PATTERNS if pattern.search(text) for label in labels]
    return tuple(dict.fromkeys(found))
