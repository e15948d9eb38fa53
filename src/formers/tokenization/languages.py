"""Languages that models know by tokens, in the order of their ids, and CTRL's kinds of texts."""

from __future__ import annotations

from dataclasses import dataclass

from formers.core.notices import did_you_mean

_MBART = """
ar_AR cs_CZ de_DE en_XX es_XX et_EE fi_FI fr_XX gu_IN hi_IN it_IT ja_XX kk_KZ ko_KR lt_LT lv_LV my_MM ne_NP
nl_XX ro_RO ru_RU si_LK tr_TR vi_VN zh_CN
"""
_MBART_50 = """
af_ZA az_AZ bn_IN fa_IR he_IL hr_HR id_ID ka_GE km_KH mk_MK ml_IN mn_MN mr_IN pl_PL ps_AF pt_XX sv_SE sw_KE
ta_IN te_IN th_TH tl_XX uk_UA ur_PK xh_ZA gl_ES sl_SI
"""
_NLLB = """
ace_Arab ace_Latn acm_Arab acq_Arab aeb_Arab afr_Latn ajp_Arab aka_Latn amh_Ethi apc_Arab arb_Arab ars_Arab
ary_Arab arz_Arab asm_Beng ast_Latn awa_Deva ayr_Latn azb_Arab azj_Latn bak_Cyrl bam_Latn ban_Latn bel_Cyrl
bem_Latn ben_Beng bho_Deva bjn_Arab bjn_Latn bod_Tibt bos_Latn bug_Latn bul_Cyrl cat_Latn ceb_Latn ces_Latn
cjk_Latn ckb_Arab crh_Latn cym_Latn dan_Latn deu_Latn dik_Latn dyu_Latn dzo_Tibt ell_Grek eng_Latn epo_Latn
est_Latn eus_Latn ewe_Latn fao_Latn pes_Arab fij_Latn fin_Latn fon_Latn fra_Latn fur_Latn fuv_Latn gla_Latn
gle_Latn glg_Latn grn_Latn guj_Gujr hat_Latn hau_Latn heb_Hebr hin_Deva hne_Deva hrv_Latn hun_Latn hye_Armn
ibo_Latn ilo_Latn ind_Latn isl_Latn ita_Latn jav_Latn jpn_Jpan kab_Latn kac_Latn kam_Latn kan_Knda kas_Arab
kas_Deva kat_Geor knc_Arab knc_Latn kaz_Cyrl kbp_Latn kea_Latn khm_Khmr kik_Latn kin_Latn kir_Cyrl kmb_Latn
kon_Latn kor_Hang kmr_Latn lao_Laoo lvs_Latn lij_Latn lim_Latn lin_Latn lit_Latn lmo_Latn ltg_Latn ltz_Latn
lua_Latn lug_Latn luo_Latn lus_Latn mag_Deva mai_Deva mal_Mlym mar_Deva min_Latn mkd_Cyrl plt_Latn mlt_Latn
mni_Beng khk_Cyrl mos_Latn mri_Latn zsm_Latn mya_Mymr nld_Latn nno_Latn nob_Latn npi_Deva nso_Latn nus_Latn
nya_Latn oci_Latn gaz_Latn ory_Orya pag_Latn pan_Guru pap_Latn pol_Latn por_Latn prs_Arab pbt_Arab quy_Latn
ron_Latn run_Latn rus_Cyrl sag_Latn san_Deva sat_Beng scn_Latn shn_Mymr sin_Sinh slk_Latn slv_Latn smo_Latn
sna_Latn snd_Arab som_Latn sot_Latn spa_Latn als_Latn srd_Latn srp_Cyrl ssw_Latn sun_Latn swe_Latn swh_Latn
szl_Latn tam_Taml tat_Cyrl tel_Telu tgk_Cyrl tgl_Latn tha_Thai tir_Ethi taq_Latn taq_Tfng tpi_Latn tsn_Latn
tso_Latn tuk_Latn tum_Latn tur_Latn twi_Latn tzm_Tfng uig_Arab ukr_Cyrl umb_Latn urd_Arab uzn_Latn vec_Latn
vie_Latn war_Latn wol_Latn xho_Latn ydd_Hebr yor_Latn yue_Hant zho_Hans zho_Hant zul_Latn
"""
_M2M = """
af am ar ast az ba be bg bn br bs ca ceb cs cy da de el en es et fa ff fi fr fy ga gd gl gu ha he hi hr ht
hu hy id ig ilo is it ja jv ka kk km kn ko lb lg ln lo lt lv mg mk ml mn mr ms my ne nl no ns oc or pa pl ps
pt ro ru sd si sk sl so sq sr ss su sv sw ta th tl tn tr uk ur uz vi wo xh yi yo zh zu
"""
_SPOKEN = """
en english zh chinese de german es spanish ru russian ko korean fr french ja japanese pt portuguese tr
turkish pl polish ca catalan nl dutch ar arabic sv swedish it italian id indonesian hi hindi fi finnish vi
vietnamese he hebrew uk ukrainian el greek ms malay cs czech ro romanian da danish hu hungarian ta tamil no
norwegian th thai ur urdu hr croatian bg bulgarian lt lithuanian la latin mi maori ml malayalam cy welsh sk
slovak te telugu fa persian lv latvian bn bengali sr serbian az azerbaijani sl slovenian kn kannada et
estonian mk macedonian br breton eu basque is icelandic hy armenian ne nepali mn mongolian bs bosnian kk
kazakh sq albanian sw swahili gl galician mr marathi pa punjabi si sinhala km khmer sn shona yo yoruba so
somali af afrikaans oc occitan ka georgian be belarusian tg tajik sd sindhi gu gujarati am amharic yi
yiddish lo lao uz uzbek fo faroese ht haitian_creole ps pashto tk turkmen nn nynorsk mt maltese sa sanskrit
lb luxembourgish my myanmar bo tibetan tl tagalog mg malagasy as assamese tt tatar haw hawaiian ln lingala
ha hausa ba bashkir jw javanese su sundanese yue cantonese
"""
_CALLED_TOO = """
my burmese ca valencian nl flemish ht haitian lb letzeburgesch ps pushto pa panjabi ro moldavian ro moldovan
si sinhalese es castilian zh mandarin
"""
_CTRL = """
Pregnancy 168629 Christianity 7675 Explain 106423 Fitness 63440 Saving 63163 Ask 27171 Ass 95985 Joke 163509
Questions 45622 Thoughts 49605 Retail 52342 Feminism 164338 Writing 11992 Atheism 192263 Netflix 48616
Computing 39639 Opinion 43213 Alone 44967 Funny 58917 Gaming 40358 Human 4088 India 1331 Joker 77138 Diet
36206 Legal 11859 Norman 4939 Tip 72689 Weight 52343 Movies 46273 Running 23425 Science 2090 Horror 37793
Confession 60572 Finance 12250 Politics 16360 Scary 191985 Support 12654 Technologies 32516 Teenage 66160
Event 32769 Learned 67460 Notion 182770 Wikipedia 37583 Books 6665 Extract 76050 Confessions 102701
Conspiracy 75932 Links 63674 Narcissus 150425 Relationship 54766 Relationships 134796 Reviews 41671 News
4256 Translation 26820 multilingual 128406
"""
# Name of a kind of texts -> id of the word that a text of it begins with (arXiv:1909.05858).
CTRL_CODES = {name: int(index) for name, index in zip(_CTRL.split()[::2], _CTRL.split()[1::2], strict=True)}


def _named(text: str) -> list[tuple[str, str]]:
    words = [word.replace("_", " ") for word in text.split()]
    return list(zip(words[::2], words[1::2], strict=True))


# Whisper's languages: code -> English name; and name -> code, of other names too.
SPOKEN = dict(_named(_SPOKEN))
SPOKEN_NAMES = {name: code for code, name in (*_named(_SPOKEN), *_named(_CALLED_TOO))}
# the same by the names that scripts take
LANGUAGES, TO_LANGUAGE_CODE = SPOKEN, SPOKEN_NAMES


def spoken_code(language: str) -> str:
    """The code of a spoken language, by its English name, its code or its token.

    Raises:
        ValueError: for one that no Whisper knows.
    """
    given = str(language).lower().removeprefix("<|").removesuffix("|>")
    found = SPOKEN_NAMES.get(given, given)
    if found not in SPOKEN:
        raise ValueError(
            f"{language!r} is no language of these models{did_you_mean(given, [*SPOKEN, *SPOKEN_NAMES])}: "
            f"give a code such as 'en', or one of {', '.join(SPOKEN_NAMES)}"
        )
    return found


@dataclass(frozen=True)
class Languages:
    """How a class of tokenizers marks the language of a text.

    Attributes:
        codes: of the languages for each value of `language_codes`; "" where there is one list.
        usual: the language of texts where nobody says it, for each likewise; None for no mark.
        token: how a code that is no token by itself is written as one.
        first: it stands before a text, and not behind its end token.
        turned: a setting puts it behind all the same (`legacy_behaviour`).
        found: what their tokens look like, where a checkpoint says which there are; "" where `codes` do.
        target: the language of targets where nobody says it; "" for that of texts.
        told: a call may say the languages, which stay; and a target has the end token before its language
            too, with which decoders begin.
    """

    codes: dict[str, tuple[str, ...]]
    usual: dict[str, str | None]
    token: str = "{}"
    first: bool = False
    turned: str = ""
    found: str = ""
    target: str = ""
    told: bool = False

    def chosen(self, which: object) -> str:
        """The key of a list of codes; the first where nobody says.

        Raises:
            ValueError: for a list that there is not.
        """
        found = next(iter(self.codes)) if which is None else str(which)
        if found not in self.codes:
            raise ValueError(f"language_codes is {' or '.join(map(repr, self.codes))}, not {which!r}")
        return found

    def tokens(self, which: object) -> list[str]:
        """The tokens of that list."""
        return [self.token.format(code) for code in self.codes[self.chosen(which)]]


_PROGRAMS = "java python en_XX javascript php ruby go"

MBART = Languages({"": tuple(_MBART.split())}, {"": "en_XX"})
MBART_50 = Languages({"": (*_MBART.split(), *_MBART_50.split())}, {"": "en_XX"}, first=True)
NLLB = Languages({"": tuple(_NLLB.split())}, {"": "eng_Latn"}, first=True, turned="legacy_behaviour")
M2M_100 = Languages(
    {"m2m100": tuple(_M2M.split()), "wmt21": ("en", "ha", "is", "ja", "cs", "ru", "zh", "de")},
    {"m2m100": "en", "wmt21": "en"},
    token="__{}__",
    first=True,
)
SEAMLESS = Languages({"": ()}, {"": "__eng__"}, first=True, found=r"__\w+__", target="__fra__", told=True)
PLBART = Languages(
    {
        "base": ("__java__", "__python__", "__en_XX__"),
        "multi": tuple(f"__{name}__" for name in _PROGRAMS.split()),
    },
    {"base": None, "multi": "__en_XX__"},
)
