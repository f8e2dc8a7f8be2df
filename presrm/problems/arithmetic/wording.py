"""The words of this problem set: who, what, and the many ways to say what happens.

In a template ``[a|b|]`` is a choice (the last one here: nothing), ``<now~then>`` a word in two tenses, and ``{n}`` a
value. `presrm.problems.arithmetic.story` fills them in. Long, since it is a list of words: nothing is computed here.
"""

WOMEN = (
    "Anna Mia Kim Ida Emma Lena Rosa Nora Tina Kate Iris Gina Dora Zoe Ella Sara Maya Lucy Jane Amy Beth Ruth Clara Alice "
    "Julia Lily Hanna Marta Olga Nina Eva Rita Priya Aisha Fatima Mei Yuki Chloe Grace Helen Laura Megan Paula Sofia Tara "
    "Vera Wendy Carla Diana Elsa Jasmine Leila Nadia Petra Susan Mary Linda Karen Emily Olivia Hazel Rachel Melissa"
).split()
MEN = (
    "Ben Carl Tom Sam Max Leo Noah Jon Theo Ravi Jack Will Otto Paul Hugo Finn Adam Alex Bob Bruno Chris Dan David Eric "
    "Felix Frank George Henry Ivan Jacob James Jim Kevin Liam Luca Mark Mike Nick Omar Oscar Peter Robert Simon Steve Tim "
    "Victor Walter Yusuf Ahmed Chen Diego Hassan Igor Jamal Kofi Marco Pablo Raj Tariq Uwe Zack Bill Edward Jerry Philip"
).split()
RELATIVES = (
    "mother father sister brother aunt uncle friend neighbour teacher cousin grandmother grandfather boss".split()
)
THINGS = (
    "apple ball bead book card coin cup egg flag key lemon marble nut pear pen plum shell stamp star toy pencil cake sticker "
    "flower tree rose balloon cookie candy orange banana carrot potato tomato onion grape stone button ribbon bottle can "
    "plate spoon fork glass/glasses box/boxes brick tile chair table lamp candle shirt sock hat shoe doll robot kite puzzle "
    "crayon marker eraser notebook page photo picture poster magazine letter ticket token point ring necklace badge medal "
    "seed bean pea leaf/leaves mushroom melon peach/peaches cherry/cherries berry/berries strawberry/strawberries muffin "
    "bun roll sandwich/sandwiches pizza pie donut brownie cupcake sweet chocolate lolly/lollies fish/fish duck hen chick "
    "rabbit sheep/sheep cow goat horse cat dog puppy/puppies bird frog ant bee butterfly/butterflies worm snail bike car "
    "bus/buses truck wheel screw nail tool rope plank block chip comic novel song video game message call file disk napkin "
    "towel pillow blanket cushion curtain bulb battery/batteries wire magnet dice/dice domino/dominoes dart arrow cap scarf "
    "glove mitten coat dress/dresses bag basket bucket pot pan jar jug mug lid brush/brushes comb mirror watch/watches clock "
    "paper folder stapler pin clip tulip daisy/daisies lily/lilies acorn cone log stick feather pebble crystal gem diamond"
).split()
PEOPLE = (
    "child/children pupil student boy girl man/men woman/women player guest visitor worker passenger fan teacher singer "
    "dancer runner swimmer tourist friend soldier sailor doctor nurse farmer member scout camper person/people adult"
).split()
BOXES = (
    "box/boxes bag jar basket bucket crate packet pack tray drawer shelf/shelves case carton tin sack bowl plate pot album "
    "envelope chest pile stack bundle row group team class/classes room table bench/benches car van bus/buses boat page "
    "bookcase cage field nest branch/branches vase bunch/bunches set pouch/pouches folder barrel net"
).split()
PLACES = (
    "shop library school bakery farm garden park bus train zoo museum kitchen office hall tank pond pool room classroom "
    "store market hotel cinema club camp harbour garage barn field forest stadium theatre cafe restaurant factory "
    "warehouse gym tram ferry plane lift boat box jar basket bag bowl drawer shelf bucket fridge chest crate hive nest"
).split()
COLOURS = "red blue green yellow white black pink brown purple grey small large big old new round short tall".split()
PARTS_OF_TIME = (
    ("in the morning", "in the afternoon", "in the evening"),
    ("on Monday", "on Tuesday", "on Wednesday"),
    ("on the first day", "on the second day", "on the third day"),
    ("yesterday", "today", "tomorrow"),
    ("in May", "in June", "in July"),
    ("in the first week", "in the second week", "in the third week"),
    ("last week", "this week", "next week"),
    ("before lunch", "after lunch", "at night"),
    ("in the first hour", "in the second hour", "in the third hour"),
    ("from {other}", "from {third}", "from {fourth}"),
    ("at home", "at school", "in the park"),
    ("in spring", "in summer", "in autumn"),
    ("on Friday", "on Saturday", "on Sunday"),
)

OPENINGS = (
    "{A} [has|had|owns|owned|keeps|kept|holds|held] {n} {things}",
    "{A} <has~had> [exactly|already|just|] {n} [{colour}|] {things}",
    "{A} [starts|started|begins|began] [|the day|the week|the game] with {n} {things}",
    "[At first|In the beginning|To begin with|At the start|This morning|Yesterday|Last week|Once]{,} {A} [has|had] {n} {things}",
    "{A} [finds|found|buys|bought|gets|got|made|makes|collects|collected|picks|picked|wins|won] {n} {things}",
    "There [are|were] {n} {things} [on the desk of|in the room of|in the bag of|in the house of] {A}",
    "{A} [has got|had got] {n} {things}",
    "{A}'s [collection|bag|box|basket|drawer] [has|had|holds|held|contains] {n} {things}",
    "{n} {things} [belong|belonged] to {A}",
    "[In {A}'s [bag|box|garden|room|pocket]|On {A}'s [desk|shelf|table]] there [are|were] {n} {things}",
    "{A} [was|is] given {n} {things}",
    "{A} [carries|carried] {n} {things} [in a bag|home|]",
)
PLACE_OPENINGS = (
    "[A|The] {place} [has|had|holds|held|contains|contained] {n} {things}",
    "There [are|were] {n} {things} [in|at] [a|the] {place}",
    "[In|At] [a|the] {place} there [are|were] {n} {things}",
    "[A|The] {place} [starts|started|opens|opened] with {n} {things}",
    "{n} {things} [are|were] [in|at] [a|the] {place}",
    "[A|The] {place} <carries~carried> {n} {things}",
    "[A|The] {place} is [filled|stocked] with {n} {things}",
)
# What a person does: the subject is left out.
GAINS = (
    "<buys~bought> {n} [more|new|other|extra|] {things?}",
    "<finds~found> {n} [more|other|] {things?} [|on the way home|under the sofa|in the street|in a drawer]",
    "<gets~got> {n} [more|new|extra|] {things?} [|from {other}|as a present|from {his} {relative}]",
    "<receives~received> {n} [more|new|] {things?} [|from {other}|as a gift|as a present]",
    "<wins~won> {n} [more|] {things?} [|in a game|at the fair|from {other}]",
    "<collects~collected> {n} [more|] {things?}",
    "<picks~picked> up {n} [more|] {things?}",
    "<adds~added> {n} [more|] {things?}",
    "<makes~made> {n} [more|new|] {things?}",
    "<earns~earned> {n} [more|] {things?}",
    "<is~was> given {n} [more|] {things?} [|by {other}|by {his} {relative}]",
    "<borrows~borrowed> {n} {things?} from {other}",
    "<takes~took> {n} {things?} from {other}",
    "<orders~ordered> {n} [more|] {things?}",
    "<brings~brought> {n} [more|] {things?} [|home|from home]",
    "<takes~took> {n} more {things?}",
    "<discovers~discovered> {n} [more|other] {things?}",
)
LOSSES = (
    "<loses~lost> {n} [of them|{things}|] [|on the way|in a game|at school]",
    "<gives~gave> away {n} [of them|{things}|]",
    "<gives~gave> {n} [of them|{things}|] to [{other}|{his} {relative}|a friend|his friends|a child]",
    "<gives~gave> {other} {n} [of them|{things}|]",
    "<sells~sold> {n} [of them|{things}|] [|at the market|to {other}]",
    "<uses~used> [up|] {n} [of them|{things}|]",
    "<uses~used> {n} [of them|{things}|] for [a game|a cake|one {thing2}|school|the party]",
    "<breaks~broke> {n} [of them|{things}]",
    "<throws~threw> away {n} [of them|{things}|]",
    "<eats~ate> {n} [of them|{things}]",
    "<removes~removed> {n} [of them|{things}|]",
    "<takes~took> away {n} [of them|{things}|]",
    "<lends~lent> {n} [of them|{things}|] to {other}",
    "<drops~dropped> {n} [of them|{things}|]",
    "<hands~handed> [out|over] {n} [of them|{things}|]",
    "<donates~donated> {n} [of them|{things}|] [|to a museum|to the school]",
    "<spends~spent> {n} [of them|{things}|] [|on a {thing2}|on {things2}]",
    "<sends~sent> {n} [of them|{things}|] to {other}",
    "<leaves~left> {n} [of them|{things}] [at school|at home|on the bus|behind]",
    "<trades~traded> away {n} [of them|{things}]",
    "<shares~shared> {n} [of them|{things}] with {other}",
    "<puts~put> {n} [of them|{things}] [away|in a box|into a bag]",
    "<takes~took> out {n} [of them|{things}|]",
    "<pays~paid> {n} [of them|{things}] for a {thing2}",
)
# What happens to a person's things: whole sentences.
GAIN_SENTENCES = (
    "{Other} <gives~gave> {him} {n} [more|] {things?}",
    "{His} {relative} <gives~gave> {him} {n} [more|] {things?}",
    "{n} [more|new|] {things} <are~were> given to {him}",
    "{n} [more|new|] {things} [come|came] [in|by post|later]",
    "{He} <is~was> given {n} [more|] {things?}",
    "{Other} <brings~brought> {him} {n} [more|] {things?}",
    "{Other} <adds~added> {n} [more|] {things?}",
    "{Other} <hands~handed> {him} {n} [more|] {things?}",
    "{Other} <sends~sent> {him} {n} [more|] {things?}",
    "From {other} {he} <gets~got> {n} [more|] {things?}",
    "Another {n} {things} <are~were> added",
)
LOSS_SENTENCES = (
    "{n} of them <break~broke>",
    "{n} {things} <are~were> [lost|broken|sold|stolen|given away|taken away|thrown away|eaten|used|missing|returned|bad]",
    "{n} of them <are~were> [lost|broken|sold|stolen|given away|taken away|thrown away|eaten|used|missing|returned|bad]",
    "{Other} <takes~took> [away|] {n} [of them|{things}|]",
    "{Other} <borrows~borrowed> {n} [of them|{things}]",
    "{Other} <eats~ate> {n} [of them|{things}]",
    "{His} {relative} <takes~took> {n} [of them|{things}]",
    "{n} {things} <fall~fell> [out|down|off]",
    "{n} of the {things} <go~went> to {other}",
    "A thief <steals~stole> {n} [of them|{things}]",
    "{Other} <gets~got> {n} of [them|the {things}] from {him}",
)
PLACE_GAINS = (
    "{n} [more|new|other|] {things?} [arrive|arrived|come|came|come in|came in|join|joined|enter|entered|get on|got on|are added|were added|are put in|were put in|are bought|were bought|are delivered|were delivered|are brought in|were brought in|move in|moved in|are planted|were planted]",
    "{Other} [puts|put] [in|] {n} [more|] {things?} [in|into it|there|]",
    "{Other} [adds|added] {n} [more|] {things?}",
    "[It|The {place}] [gets|got|receives|received|buys|bought|gains|gained|takes in|took in] {n} [more|new|] {things?} [|as a present|as a gift]",
    "[At the next stop|At the first stop|Later|In the evening|In the afternoon]{,} {n} [more|] [get on|got on|come|came|arrive|arrived]",
    "Another {n} {things} [are|were] [added|brought|delivered|put in]",
)
PLACE_LOSSES = (
    "{n} [{things}|of them|] [leave|left|get off|got off|go home|went home|go away|went away|are taken out|were taken out|are removed|were removed|are sold|were sold|are sent away|were sent away|are ill|were ill|are missing|were missing|are broken|were broken|are lost|were lost|are eaten|were eaten|are taken away|were taken away|are cut down|move out|moved out|are used|were used]",
    "{Other} [takes|took] [out|away|] {n} [of them|{things}|]",
    "{Other} [removes|removed|buys|bought|borrows|borrowed|eats|ate|uses|used] {n} [of them|{things}]",
    "[It|The {place}] [loses|lost|sells|sold|gives away|gave away|lends|lent|sends away|sent away|uses|used] {n} [of them|{things}|]",
    "[At the next stop|At the first stop|Later|In the evening|In the afternoon]{,} {n} [get off|got off|leave|left|go|went]",
)
TIMES = (
    "Then {A} has {n} times as many",
    "[The number of {things}|Their number|That number] [grows|grew|rises|rose] {n} times",
    "{Other} makes it {n} times as many",
    "[After a while|A year later|Soon|Later] there are {n} times as many {things?}",
    "[The number of {things}|Their number] is multiplied by {n}",
    "{He} <makes~made> it {n} times as many",
)
DOUBLES = (
    "[Then the|The] number [of {things}|] [doubles|doubled|is doubled]",
    "{He} <doubles~doubled> [{his} {things}|that number|them]",
    "[Later|Soon|Then] there are twice as many [{things}|]",
)
TRIPLES = (
    "[Then the|The] number [of {things}|] [triples|tripled|is tripled]",
    "{He} <triples~tripled> [{his} {things}|that number|them]",
)
HALVES = (
    "{He} <gives~gave> half of [them|the {things}|{his} {things}] [away|to {other}]",
    "[Then half|Half] of [them|the {things}] <are~were> [lost|sold|eaten|given away|taken away|broken]",
    "{He} <keeps~kept> [only|] half of [them|the {things}]",
    "{He} <loses~lost> half of [them|the {things}]",
)
ASK_PERSON = (
    "How many {things} does {A|he} have [now|in the end|left|then|in all|altogether|at the end|in total|today|]?",
    "How many {things} [has {A|he} got|does {A|he} own|does {A|he} keep|does {A|he} have left|does {A|he} still have] [now|in the end|]?",
    "How many {things} did {A|he} have [in the end|then|left|at the end|after that|]?",
    "How many [{things}|] are [there|left|there now|there in the end|there in all|there altogether]?",
    "How many [{things}|] [remain|stay|are left over|are left with {A|him}|do remain]?",
    "What is the number of {things} [now|in the end|then|that {A|he} has|]?",
    "Find the number of {things} [that {A|he} has|now|in the end|that are left|].",
    "How many {things} is that [now|in all|altogether|in total|]?",
    "Tell me how many {things} {A|he} has [now|left|in the end|].",
    "With how many {things} does {A|he} [end|end up|finish|go home]?",
    "How many of [them|these {things}|the {things}] does {A|he} have [now|left|in the end|]?",
    "[Work out|Find out|Calculate] how many {things} {A|he} has [now|left|in the end|].",
    "How many {things} will {A|he} have [then|left|in the end|after that|]?",
)
ASK_PLACE = (
    "How many {things} are [in|at] the {place} [now|in the end|then|at the end|]?",
    "How many {things} are [there|left|there now|there in the end|there in all|still there|on it now|in it now|]?",
    "How many {things} [remain|stay|are left] [in the {place}|at the {place}|in it|there|]?",
    "How many {things} does [it|the {place}] have [now|left|in the end|]?",
    "How many of [them|these {things}|the {things}] does [it|the {place}] have [now|left|]?",
    "What is the number of {things} [now|in the end|in the {place}|there]?",
    "Find the number of {things} [now|in the {place}|that are left|].",
    "How many [{things}|] are [at school|at home|here|present|at work|in the game|in the house] [today|now|]?",
    "How many {things} were [in|at] the {place} [then|in the end|after that|at the end]?",
    "How many [{things}|] stay in the {place}?",
    "How many {things} does the {place} [hold|contain] [now|in the end|]?",
)
LEVELS = (  # opening, up, down, question, unit
    (
        "[The temperature|The temperature outside|The temperature in {city}|In the room it] [was|is] {n} degrees",
        "It [rises|rose|went up|goes up|climbs|climbed|increased] by {n} [degrees|]",
        "It [falls|fell|dropped|drops|went down|sank|goes down] by {n} [degrees|]",
        "[What is the temperature [now|in the end|then|]|How [warm|hot] is it now|How many degrees is it [now|in the end]]?",
    ),
    (
        "[The lift|A lift|An elevator] [is|starts|was|started] on floor {n}",
        "It [goes|went|moves|rides] up {n} [floors|]",
        "It [goes|went|moves|rides] down {n} [floors|]",
        "[On which floor is it [now|in the end]|Which floor does it reach|On what floor does it stop]?",
    ),
    (
        "[A|The] {thing} [costs|cost] {n} [dollars|euros|pounds]",
        "[The price|Its price] [rises|rose|goes up|went up|was raised] by {n} [dollars|euros|pounds|]",
        "[The price|Its price] [falls|fell|drops|dropped|went down|was cut|was reduced] by {n} [dollars|euros|pounds|]",
        "[What does it cost [now|]|What is the price [now|in the end]|How much is it now|How much does the {thing} cost now]?",
    ),
    (
        "{A} [weighs|weighed] {n} [kilograms|kg|kilos]",
        "{He} [gains|gained|puts on|put on] {n} [kilograms|kg|kilos]",
        "{He} [loses|lost] {n} [kilograms|kg|kilos]",
        "[How much does {A|he} weigh [now|]|What is {his} weight now|What does {A|he} weigh]?",
    ),
    (
        "{A} [is|was] {n} [years old|centimetres tall|metres above the sea|steps from the door]",
        "[Then|Later] it is {n} more",
        "[Then|Later] it is {n} less",
        "[What is the number now|How much is it now|How many is that]?",
    ),
    (
        "A [tank|pool|barrel|bucket|jug] [holds|held|contains|has] {n} litres of water",
        "{n} litres [are|were] [added|poured in|filled in|put in]",
        "{n} litres [are|were] [used|poured out|taken out|drained|lost|drunk]",
        "[How many litres are [left|in it now|there now]|How much water is [left|in it|there now]|How many litres does it hold now]?",
    ),
    (
        "{A} [has|had|saved|saves|owns] {n} [dollars|euros|pounds|cents]",
        "{He} [earns|earned|gets|got|saves|saved|finds|found|is paid|was paid] {n} [dollars|euros|more|dollars more|] [|from {other}|for work]",
        "{He} [spends|spent|pays|paid|loses|lost] {n} [dollars|euros|of it|] [|on a {thing2}|for a {thing2}|for {things2}|on food|for the bus]",
        "[How much money does {A|he} have [now|left|in the end|]|How much [money|] is left|How many dollars does {A|he} have [left|now|]|How much does {A|he} have now]?",
    ),
    (
        "A [rope|ribbon|board|wire|string|road|river|wall|pipe] [is|was] {n} [metres|cm|feet|inches|km] long",
        "{n} [metres|cm|feet|inches|km] [are|were] added",
        "{n} [metres|cm|feet|inches|km] [are|were] [cut off|used|removed|taken away]",
        "[How long is it [now|in the end|then|]|How much is left|What is its length now|How long is the rest]?",
    ),
    (
        "{A} [scores|scored|has|had|gets] {n} points",
        "{He} [scores|scored|wins|won|gets|got|makes] {n} [more|points|more points]",
        "{He} [loses|lost|drops|dropped] {n} [points|of them|]",
        "[How many points does {A|he} have [now|in the end|]|What is {his} score [now|in the end|]|How many points is that]?",
    ),
    (
        "{A} [is|was] on page {n} [of a book|]",
        "{He} [reads|read] {n} [more pages|pages]",
        "{He} [goes|went|turns|turned] back {n} pages",
        "[On which page is {A|he} [now|]|What page is {A|he} on now]?",
    ),
)
BARE = {
    "+": (
        "{x} + {y}",
        "{x} plus {y}",
        "the sum of {x} and {y}",
        "{x} and {y} together",
        "{x} added to {y}",
        "{x} and {y} more",
    ),
    "-": (
        "{x} - {y}",
        "{x} minus {y}",
        "{x} less {y}",
        "the difference of {x} and {y}",
        "the difference between {x} and {y}",
    ),
    "*": (
        "{x} * {y}",
        "{x} times {y}",
        "{x} x {y}",
        "the product of {x} and {y}",
        "{x} multiplied by {y}",
        "{x} × {y}",
    ),
    "/": ("{x} / {y}", "{x} divided by {y}", "{x} : {y}", "{x} ÷ {y}", "{x} shared by {y}", "{x} over {y}"),
}
SIGNS = {
    "+": (" + ", " + ", " plus "),
    "-": (" - ", " - ", " minus "),
    "*": (" * ", " x ", " times "),
    "/": (" / ", " / ", " divided by "),
}
ASK_BARE = (
    "What is {it}?",
    "What's {it}?",
    "Compute {it}.",
    "Work out {it}.",
    "Calculate {it}.",
    "How much is {it}?",
    "Find {it}.",
    "{it} = ?",
    "{it}",
    "What do you get for {it}?",
    "Solve {it}.",
    "Evaluate {it}.",
    "Please work out {it}.",
    "{it} =",
    "Give the value of {it}.",
    "What number is {it}?",
    "What does {it} make?",
    "Tell me what {it} is.",
    "What is the value of {it}?",
)
ORDERS = {
    "+": ("[Add|add] {y} to {x}", "[Add|add] {x} and {y}", "[Add|add] {x} to {y}"),
    "-": (
        "[Subtract|subtract] {y} from {x}",
        "[Take|take] {y} away from {x}",
        "[Take|take] {y} from {x}",
        "[Deduct|deduct] {y} from {x}",
    ),
    "*": ("[Multiply|multiply] {x} by {y}", "[Multiply|multiply] {x} and {y}", "[Multiply|multiply] {x} with {y}"),
    "/": (
        "[Divide|divide] {x} by {y}",
        "[Share|share] {x} equally among {y}",
        "[Split|split] {x} into {y} equal parts",
    ),
}
THEN_ORDERS = {
    "+": ("add {y}", "add {y} to [it|the result|that]", "add {y} more"),
    "-": (
        "subtract {y}",
        "take away {y}",
        "take {y} away",
        "take {y} from [it|the result|that]",
        "subtract {y} from [it|the result|that]",
    ),
    "*": ("multiply by {y}", "multiply [it|the result|that] by {y}"),
    "/": ("divide by {y}", "divide [it|the result|that] by {y}"),
}
STARTS = (
    "Start with {x}",
    "Take {x}",
    "Take the number {x}",
    "Begin with {x}",
    "Think of {x}",
    "{A} thinks of the number {x}",
)
WHAT_NOW = (
    "What [is|do you get|is the result|comes out|number is it now]?",
    "What is the [answer|result|number]?",
    "What do you get [in the end|]?",
    "",
    "What number do you have now?",
)
GROUPS = (  # groups x each = things
    "{A} <has~had> {g} {boxes} with {e} {things} [each|in each|in every {box}|in each {box}]",
    "{A} <has~had> {g} {boxes} of {e} {things} [each|]",
    "There [are|were] {g} {boxes} with {e} {things} [each|in each|in every one]",
    "There [are|were] {g} {boxes}. [Each|Every] {box} [holds|has|contains] {e} {things}",
    "{A} <buys~bought> {g} {boxes} of {e} {things} [each|]",
    "[Each|Every] {box} [holds|has|contains] {e} {things}. {A} <has~had> {g} {boxes}",
    "A {box} [holds|has|contains] {e} {things}. {A} [buys|has|fills|gets|takes] {g} [{boxes}|such {boxes}|of them]",
    "In each of {g} {boxes} there [are|were] {e} {things}",
    "{A} [puts|packs|put|packed] {e} {things} [into|in] each of {g} {boxes}",
    "A [train|hall|plane|cinema] has {g} {boxes} with {e} {things} [each|in each]",
    "{A} [fills|filled] {g} {boxes} with {e} {things} [each|]",
    "{g} {boxes} [hold|held|contain] {e} {things} each",
    "[A|The] {place} [buys|bought|gets|got|orders|ordered|has] {g} {boxes} of {e} {things} [each|]",
    "[A|The] {place} [sells|sold|makes|made|uses|used] {e} {things} [a|each|every|per] {unit} for {g} {units}",
    "{g} [children|people|friends|boys|girls|teams] [have|had|bring|brought|got|get] {e} {things} each",
    "Each of {g} [children|people|friends|boys|girls|pupils] [has|gets|brings|got|brought] {e} {things}",
    "{g} rows [of|with] {e} {things} [each|] [are|were] [in a hall|in the garden|in the room|on the wall|put up]",
    "{A} [plants|sets|lays|planted|sets out] {g} rows of {e} {things} [each|]",
    "{A} [gives|gave] {e} {things} to each of {g} [children|friends|pupils|people]",
    "[Every|Each] {person} [gets|needs|has|wants] {e} {things}. There are {g} {people}",
    "{A} [makes|made|bakes|picks|sells|sold|reads|draws|writes|collects] {e} {things} [a|each|every|per] {unit} for {g} {units}",
    "{A} [makes|made|bakes|picks|collects|collected|draws] {e} {things} [a|each|every|per] {unit}. {He} does [this|so] for {g} {units}",
    "A [baker|machine|worker|shop|farm|factory|printer] [makes|produces|sells|packs|delivers] {e} {things} [a|each|every|per] {unit} for {g} {units}",
    "In one {unit} {A} [makes|packs|sells|paints|picks] {e} {things}. {He} works for {g} {units}",
    "{A} <buys~bought> {g} {boxes} and each [{box}|of them|one] [has|holds|contains] {e} {things}",
    "{g} {people} [bring|brought|carry|carried|get|got] {e} {things} each",
    "{g} times {e} {things} [are|were] [delivered|brought|put] [to {A}|into a {place}|]",
    "It takes {e} {things} to make one {thing2}. {A} makes {g} {things2}",
    "{A} [has|had] {g} {boxes}, each with {e} {things}",
    "{A} [has|had] {g} {boxes}, and each holds {e} {things}",
)
LOOSE = (
    "{A} [also has|also had|has also got] {n} [loose|extra|other|single] {things?}",
    "and {n} [loose|extra|single|more] {things?}",
)
ASK_TOTAL = (
    "How many {things} [are there|is that|are there in all|are there altogether|are there in total|is that in all]?",
    "How many {things} are there [together|in all the {boxes}|]?",
    "How many {things} does {A|he} have [in all|altogether|in total|]?",
    "What is the [total|total number of {things}|number of {things}]?",
    "Find the [total|total number of {things}].",
    "How many {things} [in all|altogether|in total]?",
    "How many {things} did {A|he} [have|get|use|need] [in all|altogether|in total|]?",
)
COSTS = (
    "[A|One|Each] {thing} costs {e} [dollars|euros|pounds|cents]. {A} [buys|bought] {g} [{things}|of them]",
    "{A} <buys~bought> {g} {things} [at|for] {e} [dollars|euros|cents] each",
    "{A} <buys~bought> {g} {things} that cost {e} [dollars|euros|cents] each",
    "{g} {things} cost {e} [dollars|euros|pounds|cents] each",
    "The price of [a|one] {thing} is {e} [dollars|euros]. {A} [takes|buys|wants] {g} [{things}|of them]",
    "{A} pays {e} [dollars|euros|cents] for each of {g} {things}",
    "{A} earns {e} [dollars|euros] [an|per|each|every] hour and works {g} hours",
    "A ticket costs {e} [dollars|euros]. {A} buys {g} tickets",
)
ASK_COST = (
    "[How much|What] does {A|he} [pay|have to pay|spend] [in all|altogether|]?",
    "How much [is that|do they cost|is it] [in all|altogether|]?",
    "What is the [total|total price|price|cost]?",
    "How much money is that?",
    "How many [dollars|euros|cents] is that?",
    "[How much|What] do the {things} cost [together|in all|]?",
)
BUDGETS = (
    "{A} <has~had> {n} [dollars|euros|pounds]. {He} <buys~bought> {g} {things} [at|for] {e} [dollars|euros|] each",
    "{A} <has~had> {n} [dollars|euros] and <buys~bought> {g} {things} [at|for|that cost] {e} [dollars|euros|] each",
    "{A} pays with {n} [dollars|euros] for {g} {things} [at|that cost] {e} [dollars|euros|] each",
    "[A|One|Each] {thing} costs {e} [dollars|euros]. {A} buys {g} [of them|{things}] and pays with {n} [dollars|euros]",
    "{A} <has~had> {n} {things}. {He} <fills~filled> {g} {boxes} with {e} {things?} each",
    "{A} <has~had> {n} {things}. {He} <gives~gave> {e} [of them|] to each of {g} [friends|children|pupils|people]",
    "{A} <has~had> {n} {things} and <puts~put> {e} [of them|] into each of {g} {boxes}",
    "A {place} has {n} {things}. {g} [people|children|{people}] take {e} [of them|{things}] each",
    "A book has {n} pages. {A} reads {e} pages [a|each|every|per] day for {g} days",
    "{A} has to [pack|make|read|write|paint|draw] {n} {things}. {He} does {e} [a|each|every] day for {g} days",
    "{A} <has~had> {n} {things} and <uses~used> {e} [a|each|every|per] day for {g} days",
)
ASK_LEFT = (
    "How many [{things}|] are left?",
    "How many {things} [remain|does {A|he} have left|are left over]?",
    "How much [money|] is left?",
    "How much does {A|he} have left?",
    "What is left?",
    "How much change does {A|he} get?",
    "How many [{things}|] are still there?",
    "How many does {A|he} still have?",
    "How many [{things}|] [remain|stay]?",
)
PARTS = (
    "{A} [collects|collected|finds|found|sells|sold|reads|read|makes|made|bakes|baked|counts|counted|gets|got|picks|picked|buys|bought|eats|ate|plants|planted|sees|saw|uses|used|draws|drew] {a} {things} {t1}{,} {b} {t2} and {c} {t3}",
    "{A} [collects|collected|finds|found|sells|sold|reads|read|makes|made|gets|got|picks|picked|buys|bought|sees|saw|writes|wrote] {a} {things} {t1} and {b} {t2}",
    "{A} [walks|walked|runs|ran|rides|rode|drives|drove|swims|swam] {a} [km|miles|kilometres] {t1}{,} {b} [km|miles|] {t2} and {c} [km|miles|] {t3}",
    "{A} [walks|walked|runs|ran|rides|rode|drives|drove|swims|swam] {a} [km|miles|kilometres] {t1} and {b} [km|miles|] {t2}",
    "{A} [has|had|buys|bought|owns|sees] {a} {colour} {things} and {b} {colour2} [{things}|ones]",
    "{A} [has|had|buys|bought|owns] {a} {colour}, {b} {colour2} and {c} {colour3} {things}",
    "There [are|were] {a} {colour} {things} and {b} {colour2} [ones|{things}] in [a|the] {place}",
    "{A} [has|had] {a} {things} and {Other} [has|had] {b} [{things}|]",
    "{A}, {Other} and {third} [have|had|find|found|bring|brought] {a}, {b} and {c} {things}",
    "{A} and {Other} [have|had|find|found|bring|brought|collect|collected] {a} and {b} {things}",
    "Two [classes|groups|teams|boxes|bags|shelves|schools|shops|farms|buses] [have|hold|had] {a} and {b} {things}",
    "Three [classes|groups|teams|boxes|bags|shelves|schools|shops|farms|buses] [have|hold|had] {a}, {b} and {c} {things}",
    "One {box} [has|holds|contains] {a} {things}{,} [another|the other|the second] [one|{box}|] [has|holds|] {b} [{things}|]",
    "[A|The] {place} [sold|sells|had|has|counted] {a} {things} {t1} and {b} {t2}",
    "{a} {things} [are|were] in one {box} and {b} [are|were] in [another|the other] [one|{box}|]",
    "{a} {people} and {b} {people2} [are|were] [in|at] [a|the] {place}",
    "{A} [spends|spent|pays|paid] {a} dollars [on|for] a {thing} and {b} dollars [on|for] a {thing2}",
    "A {thing} costs {a} dollars and a {thing2} costs {b} dollars",
    "{A} [has|had] {a} {things}{,} {Other} [has|had] {b} [{things}|] and {third} [has|had] {c} [{things}|]",
)
ASK_PARTS = (
    "How many {things} [is that|are there|are there in all|is that in all|are there altogether|are there together|in total]?",
    "How many {things} [does {A|he} have|did {A|he} get|do they have] [together|in all|altogether|in total|]?",
    "How many [did|does] {A|he} [get|have|collect|sell|read|make] [in all|altogether|in total|]?",
    "What is the [total|sum]?",
    "How many [in all|altogether|in total]?",
    "Find the total.",
    "How many {things} [together|in all|altogether]?",
)
ASK_WAY = (
    "How far does {A|he} [go|walk|get|travel] [in all|altogether|]?",
    "How many [km|miles|kilometres] is that [in all|altogether|]?",
    "How far is that [in all|altogether|]?",
    "What is the total [distance|]?",
)
COMPARES = (  # known a, other = a +- n
    "{A} [found|sold|read|made|won|collected|picked|ate|wrote|bought] {a} {things} {t1} and {n} {more} {t2}",
    "{A} [found|sold|read|made|won|collected|picked|ate|wrote|bought] {a} {things} {t1}. {t2_} it was {n} {more}",
    "{A} <has~had> {a} {things}{,} [and|while|but|] {Other} <has~had> {n} {more} [than {A}|than {him}|{things?} than {A}]",
    "{A} <has~had> {a} {things}. {Other} <has~had> {n} {more} [than {A}|than {him}|{things?} than {A}]",
    "{A} [scored|found|sold|read|made|won|collected|picked|ate|wrote|bought] {a} {things}{,} {Other} [scored|found|sold|read|made|won|collected|picked|ate|wrote|bought] {n} {more} than {A}",
    "{A} [scored|found|sold|read|made|won|collected|picked|ate|wrote|bought] {a} {things}. {Other} did {n} {more} [than {A}|than {him}|]",
    "There [are|were] {a} {things} in [a|the] {place} and {n} {more} {things2}",
    "A {place} has {a} {things}. It has {n} {more} {things2} [than {things}|]",
    "{A} is {a} years old. {Other} is {n} years {older} [than {A}|than {him}|]",
    "A {thing} costs {a} dollars. A {thing2} costs {n} dollars {more} [than that|]",
    "{Other} <has~had> {n} {more} {things} than {A}. {A} <has~had> {a} [{things}|]",
)
ASK_OTHER = (
    "How many {things} does {Other} have?",
    "How many does {Other} have?",
    "How many {things} [did|does] {Other} [score|find|sell|read|make|win|collect|get]?",
    "How many [{things}|] has {Other} got?",
    "What is the number for {Other}?",
    "Find the number of {Other}.",
)
ASK_SECOND = {
    "{t1}": (
        "How many [{things}|] [was it|is that|were there] {t2}?",
        "How many {things} [did {A|he} get|was that|does {A|he} have] {t2}?",
        "What is the number {t2}?",
    ),
    "older": ("How old is {Other}?", "What is the age of {Other}?"),
    "costs": ("How much is the {thing2}?", "What does the {thing2} cost?", "What is the price of the {thing2}?"),
    "{more} {things2}": (
        "How many {things2} are there?",
        "How many {things2} does it have?",
        "What is the number of {things2}?",
    ),
}
ASK_BOTH = (
    "How many [{things}|] do they have [together|in all|altogether]?",
    "How many [{things}|] [is that|are there] [together|in all|altogether]?",
    "What is the total [of both|]?",
    "How many do [both|the two] have together?",
    "How much is that together?",
)
TWICE = (
    "{A} [found|sold|read|made|won|collected|picked|ate|wrote|bought] {a} {things} {t1} and {times} as many {t2}",
    "{A} <has~had> {a} {things}. {Other} <has~had> {times} as many [{things}|] [as {A}|as {him}|]",
    "{A} <has~had> {a} {things}{,} [and|while|] {Other} <has~had> {times} as many",
    "{Other} <has~had> {times} as many {things} as {A}. {A} <has~had> {a} [{things}|]",
    "{A} [found|sold|read|made|won|collected|picked] {a} {things}. {Other} [found|sold|read|made|won|collected|picked] {times} as many [as {A}|]",
)
DIFFERENCES = (
    "{A} <has~had> {a} {things} and [{Other}|{his} {relative}] <has~had> {b} [{things}|]. How many more {things} does {A} have [than {Other}|]?",
    "{A} <has~had> {a} {things}. {Other} <has~had> {b} [{things}|]. How many more {things} does {A} have [than {Other}|]?",
    "{A} <has~had> {b} {things}. {Other} <has~had> {a} [{things}|]. How many fewer {things} does {A} have [than {Other}|]?",
    "{A} [sold|found|read|made|won] {a} {things} and {Other} [sold|found|read|made|won] {b}. What is the difference?",
    "There are {a} {things} and {b} {things2} in [a|the] {place}. How many more {things} than {things2} are there?",
    "A {thing} costs {a} dollars and a {thing2} costs {b} dollars. How much [more does the {thing} cost|cheaper is the {thing2}]?",
    "{A} is {a} years old and {Other} is {b}. How many years older is {A}?",
    "{A} has {b} {things} and wants [to have|] {a}. How many [more|more {things}|] does {he} need?",
    "{A} needs {a} {things}. {He} has [only|already|] {b} [of them|]. How many [more does {he} need|are missing|does {he} still need]?",
    "A {box} holds {a} {things}. There are {b} {things} in it. How many more [fit in|can be put in|fit]?",
    "{A} has to [read|pack|paint|write|sell|plant] {a} {things}. {He} has done {b} [already|]. How many are [left|still to do|left to do]?",
    "{a} {people} were invited, [but|and] {b} [did not come|stayed at home|could not come]. How many came?",
    "Of {a} {things}{,} {b} are {colour}. How many are not {colour}?",
    "There are {a} {things} in [a|the] {place}. {b} of them are {colour}{,} [and|] the [rest|others] are {colour2}. How many {colour2} [ones|{things}] are there?",
    "A {box} holds {a} {things}. {A} takes out {b}. How many {things} [stay in|are left in] the {box}?",
)
UNKNOWNS = {  # before, then a change, then after
    "+": (  # start + n = a -> a - n
        "{A} had some {things}. {He} [was given|got|found|bought|won|received] {n} [more|] and then {he} had {a}. {ask}",
        "{A} had some {things}. {Other} gave {him} {n} [more|] {things?}. Now {he} has {a} [{things}|]. {ask}",
        "After [getting|finding|buying|winning] {n} [more|] {things}{,} {A} has {a} [{things}|]. {ask}",
        "There were some {things} in [a|the] {place}. {n} [more|] [came|were added|were put in]. Now there are {a}. {ask2}",
        "{A} [bought|found|won|got] {n} {things} and now has {a} [{things}|]. {ask}",
    ),
    "-": (  # start - n = a -> a + n
        "{A} had some {things}. {He} [gave away|lost|sold|ate|used] {n} and then {he} had {a} [left|]. {ask}",
        "{A} had some {things}. {Other} took {n} [of them|]. Now {he} has {a} [{things}|] [left|]. {ask}",
        "After [losing|selling|giving away|eating] {n} {things}{,} {A} has {a} [{things}|] [left|]. {ask}",
        "There were some {things} in [a|the] {place}. {n} [left|were taken out|were sold|were removed]. Now there are {a} [left|]. {ask2}",
        "{A} [gave away|lost|sold|used] {n} {things} and still has {a} [{things}|]. {ask}",
    ),
}
ASK_BEFORE = (
    "How many [{things}|] did {A|he} have [at first|before|in the beginning|at the start|to begin with]?",
    "With how many {things} did {A|he} start?",
    "How many {things} did {A|he} have before that?",
)
ASK_PLACE_BEFORE = (
    "How many {things} were there [at first|before|in the beginning|at the start]?",
    "How many were in the {place} [at first|before]?",
)
UNKNOWN_CHANGES = (
    "{A} had {n} {things}. {He} [bought|found|got|won|received] some more and now {he} has {a} [{things}|]. How many [{things}|] did {he} [buy|find|get|win|receive]?",
    "{A} had {a} {things}. {He} [lost|sold|gave away|used|ate] some and now {he} has {n} [{things}|] [left|]. How many [{things}|] did {he} [lose|sell|give away|use|eat]?",
    "There were {n} {things} in [a|the] {place}. Some more [came|were added|were put in] and now there are {a}. How many [came|were added|were put in]?",
    "There were {a} {things} in [a|the] {place}. Some [left|were taken|were sold] and {n} [are left|stayed|remained]. How many [left|were taken|were sold]?",
    "{A} has {n} {things}. Together{,} {A} and {Other} have {a} [{things}|]. How many [{things}|] does {Other} have?",
    "{A} and {Other} have {a} {things} together. {A} has {n} [of them|]. How many [{things}|] does {Other} have?",
)
SHARES = (
    "{A} [shares|shared|splits|divided|divides] {n} {things} [equally|fairly|evenly|] [among|between] {g} [friends|children|people|{boxes}]. How many [{things}|] does each [get|{box} get|one get|of them get]?",
    "{n} {things} [are|were] [shared|divided|split|put] [equally|evenly|] [among|into|between] {g} [{boxes}|groups]. How many [{things}|] [are in each|does each {box} have|are there in each {box}]?",
    "{A} has {n} {things} and puts {g} [of them|] in each {box}. How many {boxes} [does {he} need|are there|does {he} fill|are needed]?",
    "{A} [packs|packed|puts] {n} {things} into {boxes} of {g}. How many {boxes} [does {he} need|are there|does {he} fill|is that]?",
    "{g} {things} cost {n} dollars. [How much does one {thing} cost|What is the price of one {thing}|What does one cost]?",
    "{A} reads {n} pages in {g} days{,} the same number each day. How many pages [does {he} read|is that] [a|each|per] day?",
    "{g} {people} share {n} {things} [equally|]. How many [{things}|] does each [{person}|] get?",
    "A {thing} costs {g} dollars. How many [{things}|] can {A} buy [for|with] {n} dollars?",
    "There are {n} {things} in {g} {boxes} with the same number in each. How many {things} are in [each|one] {box}?",
    "{n} {people} sit in {g} [rows|groups] of the same size. How many are in each [row|group]?",
)
SHARE_REST = (
    "{He} [shares|splits|divides] [the rest|what is left|them] [equally|] [among|between] {g} [friends|children|people]. How many does each [one|] get?",
    "[The rest|What is left] is [put|packed] [equally|] into {g} {boxes}. How many are in each {box}?",
    "{He} puts [the rest|them|what is left] in {boxes} of {g}. How many {boxes} [does {he} need|are there|is that]?",
)
DISTRACTORS = (
    "{Third} has {n} {things2}.",
    "{A} is {n} years old.",
    "The {place} is {n} km away.",
    "{Third} [lost|found|bought|has] {n} {things2} [yesterday|].",
    "There are {n} {things2} [in the garden|on the table|in a {box}|], [too|as well].",
    "It is {n} o'clock.",
    "The [bag|house|street] has the number {n}.",
    "A {thing2} costs {n} dollars.",
    "{Third} is {n} years old.",
)
CONNECTS = (
    "Then",
    "Later",
    "After that",
    "Next",
    "Afterwards",
    "A day later",
    "The next day",
    "In the evening",
    "Today",
    "Soon after",
    "Finally",
    "After lunch",
)
CITIES = "Rome Paris Oslo Cairo Lima Boston Berlin Tokyo Madrid Delhi".split()

RATES = (
    "{A} [walks|drives|rides|runs|swims|travels|walked|drove|rode] {e} [km|miles|metres] [an|per|each|every|in one] hour for {g} hours",
    "A [car|train|bike|boat|bus|ship] [goes|drives|runs|travels] {e} [km|miles] [an|per|each|every|in one] hour. It [goes|drives|runs|travels] for {g} hours",
    "{A} [walks|rides|runs|swims] {e} [km|miles] [a|every|each|per] day for {g} days",
    "[Every|Each] day {A} [walks|rides|runs|swims] {e} [km|miles]. {He} does [so|this] {g} times",
    "A [bus|train|ferry] makes {g} trips of {e} [km|miles] each",
)
FACTS = (  # how many a thing has, how it is said
    (
        7,
        "[How many days are [there|] in {g} weeks|{A} stays for {g} weeks. How many days is that|{A} works {g} weeks. How many days is that]?",
    ),
    (
        4,
        "[How many legs do {g} [dogs|cats|cows|horses|tables|chairs|sheep|rabbits] have [together|in all|]|There are {g} [dogs|cats|cows|horses|tables|chairs]. How many legs do they have]?",
    ),
    (4, "[How many wheels do {g} cars have|There are {g} cars [in a garage|]. How many wheels is that]?"),
    (3, "[How many wheels do {g} tricycles have|There are {g} tricycles. How many wheels is that]?"),
    (
        2,
        "[How many wheels do {g} [bikes|bicycles] have|There are {g} [bikes|bicycles]. How many wheels is that]?",
    ),
    (5, "How many fingers are on {g} hands?"),
    (
        6,
        "[How many legs do {g} [ants|bees|insects] have|There are {g} [ants|bees|insects]. How many legs is that]?",
    ),
    (8, "[How many legs do {g} spiders have|There are {g} spiders. How many legs is that]?"),
    (
        2,
        "[How many [shoes|socks|gloves] are [in|] {g} pairs|{A} has {g} pairs of [shoes|socks|gloves]. How many [single ones|shoes|socks|gloves] is that]?",
    ),
    (12, "[{A} buys {g} dozen {things}. How many {things} is that|How many {things} are {g} dozen]?"),
    (
        12,
        "[How many months are [there|] in {g} years|{A} lives there for {g} years. How many months is that]?",
    ),
    (
        10,
        "[How many {things} are {g} packs of ten|{A} buys {g} packs of ten {things}. How many {things} is that]?",
    ),
)
AREAS = (
    "A [garden|room|field|yard|park|table|wall|floor|rectangle|carpet] is {g} [m|metres|feet|cm] long and {e} [m|metres|feet|cm|] wide. What is its area?",
    "What is the area of a [garden|room|field|rectangle|carpet] [of|with sides] {g} [by|and] {e} [metres|m|feet|]?",
    "The sides of a rectangle are {g} and {e}. [Find|Work out] its area.",
    "A [hall|garden|theatre|field] has {g} rows and {e} [seats|trees|plants|chairs] in each row. How many [is that|are there]?",
)
TWO_USES = (
    "<uses~used> {n} for one {thing2} and {m} for another [one|{thing2}|]",
    "<gives~gave> {n} to {other} and {m} to {third}",
    "<loses~lost> {n} {t1} and {m} {t2}",
    "<sells~sold> {n} {t1} and {m} {t2}",
    "<puts~put> {n} in one {box} and {m} in another",
    "<spends~spent> {n} on a {thing2} and {m} on {things2}",
)
WORDS = "zero one two three four five six seven eight nine ten eleven twelve".split()
MORE_COSTS = (
    "{He} [also|] <pays~paid> {n} [dollars|euros] for a {thing2}",
    "A {thing2} costs {n} [dollars|euros] [more|extra|] and {he} takes it, too",
    "{He} <buys~bought> a {thing2} for {n} [dollars|euros]",
)
PRODUCTS = (
    "{A} <has~had> {g} {boxes} [with|of] {e} {things} [each|] and {h} {box2} [with|of] {f} {things?} [each|]",
    "{A} <buys~bought> {g} {boxes} of {e} {things} and {h} {box2} of {f} {things?}",
    "There [are|were] {g} {boxes} with {e} {things} each and {h} {box2} with {f} [{things}|] each",
    "{A} <has~had> {g} {boxes} [with|of] {e} {things} each. {Other} <has~had> {h} {boxes} [with|of] {f} [{things}|] each",
)
