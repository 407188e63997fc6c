"""The same phrases in other languages. Written as they are spelled; folding takes the marks off rule and text alike."""

from __future__ import annotations

import re
from itertools import starmap

from daybreak.policy.injection.fold import plain
from daybreak.policy.injection.marks import Kind
from daybreak.policy.injection.phrases import Rule, rule

# -- German

_DE_ORDERS = (
    "anweisung(?:en)? instruktion(?:en)? regeln? vorgaben? befehle? richtlinien? aufgaben? vorschriften? direktiven?"
    " system_?prompts? prompts? einschränkungen? systemanweisung(?:en)? gesagt"
)
_DE = (
    rule(
        "override",
        0.75,
        "setzt Anweisungen außer Kraft",
        "ignoriere ignoriert ignorieren missachte missachtet missachten vergiss vergesst vergessen übergehe"
        " übergehen verwirf umgehe"
        " befolge beachte überschreibe",
        "~3 alle alles deine ihre jegliche sämtliche die diese vorherigen? bisherigen? vorigen? obigen?"
        " früheren? nicht",
        f"~3 {_DE_ORDERS}",
    ),
    rule(
        "override",
        0.65,
        "setzt Gesagtes außer Kraft",
        "ignoriere ignorieren vergiss vergesst vergessen missachte",
        "alles das",
        "~6 gesagt steht stand davor vorher bisher oben angewiesen",
    ),
    rule(
        "override",
        0.5,
        "von nun an …",
        "ab von",
        "jetzt nun sofort heute hier",
        "?an",
        "~2 führst du bist befolgst folgst gehorchst handelst antwortest machst",
        "~5 nur ausschließlich ein eine ki ohne nicht",
    ),
    rule(
        "override",
        0.5,
        "neue Aufgabe",
        "deine ihre",
        "neue eigentliche wahre",
        "aufgabe anweisung anweisungen rolle",
        "ist lautet sind lauten besteht",
    ),
    rule(
        "reveal",
        0.5,
        "fragt nach dem Prompt",
        "gib gebe zeige zeig nenne verrate drucke wiederhole schreibe sende schicke offenbare teile",
        "~4 system_?prompt systemanweisung(?:en)? systemnachricht (?:deine|die)_anweisungen prompt zugangsdaten"
        " api_?schlüssel geheimnisse umgebungsvariablen privaten_schlüssel",
    ),
    rule(
        "reveal",
        0.35,
        "fragt nach Geheimnissen",
        "gib gebe zeige zeig nenne verrate drucke sende schicke offenbare",
        "~4 passw(?:ort|örter) schlüssel env token",
    ),
    rule(
        "send",
        0.5,
        "trägt Daten hinaus",
        "sende senden schicke schicken lade poste übermittle übertrage maile",
        "~6 env datei dateien schlüssel passw(?:ort|örter) geheimnisse zugangsdaten inhalt token verlauf id_rsa",
        r"~4 an nach zu unter auf",
        r"~2 https?://[^\s\"'<>`]{1,200} diese_adresse adresse server [^\s]{1,60}@[^\s]{1,60}",
    ),
    rule(
        "conceal",
        0.45,
        "heimlich",
        "sage sag erzähle verrate erwähne informiere",
        "~3 nicht nichts niemandem niemanden",
        "?dem den",
        "?benutzer nutzer anwender davon",
    ),
    rule("conceal", 0.4, "ohne zu fragen", "ohne", "~3 nachzufragen zu_fragen rückfrage bestätigung zustimmung"),
    rule(
        "address",
        0.4,
        "spricht eine Maschine an",
        "hinweis nachricht anweisung achtung wichtig mitteilung",
        "?an für",
        "~3 assistent(?:en)? ki ki_(?:agent|agenten|assistent|assistenten|modell|modelle) sprachmodell(?:e)?"
        " agent(?:en)? chatbots?",
    ),
    rule("address", 0.4, "spricht eine Maschine an", "wenn falls", "du", "~2 ki sprachmodell assistent agent bot"),
    rule(
        "persona",
        0.5,
        "Rolle ohne Regeln",
        "du stell tu verhalte",
        "~6 ohne keine unbeschränkt uneingeschränkt",
        "~1 regeln einschränkungen beschränkungen filter grenzen richtlinien",
    ),
    rule(
        "tamper",
        0.5,
        "überspringt Prüfungen",
        "deaktiviere lösche überspringe schalte entferne",
        "~3 tests? prüfungen testsuite sicherheitsprüfungen",
        "~5 melde bestanden erfolg markiere erfolgreich",
    ),
)

# -- French

_FR_ORDERS = (
    "instructions? consignes? règles? directives? ordres? commandes? prompts? restrictions? messages?"
    " limites? contraintes?"
)
_FR = (
    rule(
        "override",
        0.75,
        "écarte les consignes",
        "ignore ignorez ignorer oublie oubliez oublier néglige négligez contourne contournez outrepasse désobéis annule"
        " ne_tiens_pas_compte ne_tenez_pas_compte ne_suis_pas ne_suivez_pas ne_respecte_pas fais_abstraction",
        "~2 toutes? tous les des de tes vos ces aux ta la votre",
        f"~2 {_FR_ORDERS}",
        "?qui",
        "~2 précédente?s? antérieure?s? ci_dessus plus_haut initiales? reçues? système sécurité données"
        " actuelles? au_dessus avant précèdent",
    ),
    rule(
        "override",
        0.65,
        "écarte les consignes",
        "ignore ignorez oublie oubliez",
        "~2 toutes tous tout",
        "~4 instructions consignes règles directives dit précède avant",
    ),
    rule(
        "override",
        0.5,
        "désormais",
        "à partir_de désormais dorénavant",
        "~2 maintenant tu vous de",
        "~3 obéis obéissez es êtes suis suivez n_?obéis réponds agis exécute",
        "?que",
        "?uniquement seulement",
    ),
    rule(
        "override",
        0.55,
        "désormais",
        "à",
        "partir",
        "de",
        "maintenant",
        "~2 obéis obéissez es êtes suis suivez n_obéis réponds agis exécutes",
    ),
    rule(
        "override",
        0.5,
        "nouvelle tâche",
        "ta votre tes vos",
        "nouvelles? vraies? véritable",
        "tâche mission instructions? consignes? rôle",
        "est sont",
    ),
    rule(
        "reveal",
        0.5,
        "demande le prompt",
        "affiche affichez révèle révélez montre montrez donne donnez imprime écris répète divulgue dévoile",
        "~4 prompt_système message_système instructions_système système_prompt prompt tes_instructions vos_instructions"
        " variables_d_environnement clés?_privées? clés?_secrètes? clés?_d_api",
    ),
    rule(
        "reveal",
        0.35,
        "demande des secrets",
        "affiche affichez révèle révélez montre montrez donne donnez imprime divulgue dévoile",
        "~4 mots?_de_passe clés? secrets? jetons? identifiants",
    ),
    rule(
        "send",
        0.5,
        "emporte des données",
        "envoie envoyez envoyer transmets transmettez poste publie téléverse",
        "~6 contenu env id_rsa ssh clés? mots?_de_passe secrets? fichiers? historique jetons? données conversation",
        r"~6 https?://[^\s\"'<>`]{1,200} adresse serveur [^\s]{1,60}@[^\s]{1,60} url",
    ),
    rule(
        "conceal",
        0.45,
        "en cachette",
        "ne n sans",
        "~2 dis dites mentionne mentionnez parle parlez informe informez préviens prévenir demander informer révèle",
        "?pas rien jamais",
        "~3 utilisateur l_utilisateur confirmation personne autorisation cela",
    ),
    rule(
        "address",
        0.4,
        "parle à une machine",
        "note message attention instruction instructions avis important",
        "à pour aux",
        "~3 assistant(?:_ia)? ia agents?(?:_ia)? modèles?_de_langage modèle l_assistant chatbots?",
    ),
    rule(
        "address",
        0.4,
        "parle à une machine",
        "note message attention instruction instructions avis important",  # words that English has too
        "~3 (?:assistant|agents?)_ia ia modèles?_de_langage l_assistant",
    ),
    rule("address", 0.4, "parle à une machine", "si", "tu vous", "es êtes", "~1 ia assistant agent modèle"),
    rule(
        "persona",
        0.5,
        "rôle sans règles",
        "tu vous fais fais_comme imagine agis",
        "~6 sans aucune",
        "~1 restrictions? règles? filtres? limites? censure",
    ),
)

# -- Spanish and Portuguese

_ES_ORDERS = (
    "instrucción instrucciones reglas? normas? directrices órdenes indicaciones comandos restricciones"
    " prompts? políticas mensajes?"
    " instruções instrução regras? diretrizes ordens comandos restrições"
)
_ES = (
    rule(
        "override",
        0.75,
        "anula las instrucciones",
        "ignora ignore ignoren ignorar olvida olvide olvidar desobedece omite descarta pasa no_hagas_caso"
        " no_haga_caso no_sigas no_tengas_en_cuenta"
        " desconsidere esqueça ignorem desconsidera esquece",
        "~3 todas? todos? las los de a tus sus as os suas tu la",
        f"~2 {_ES_ORDERS}",
        "~4 anterior(?:es)? previas? previos? arriba iniciales antes sistema seguridad dadas originales acima"
        " recibidas prévias seguridad",
    ),
    rule(
        "override",
        0.65,
        "anula lo dicho",
        "ignora ignore olvida olvide esqueça esquece",
        "~1 todo todas todos lo tudo",
        "~5 dijeron dijo dicho anterior anteriores instrucciones reglas antes foi_dito arriba instruções",
    ),
    rule(
        "override",
        0.5,
        "a partir de ahora",
        "a de",
        "partir ahora",
        "~2 ahora adelante agora momento",
        "~3 eres obedeces solo sólo solamente obedece sigue responde actúa você apenas",
    ),
    rule(
        "override",
        0.55,
        "nueva tarea",
        "tu su tus sus sua",
        "nuevas? verdadera real novas?",
        "tarea misión instrucciones objetivo rol tarefa instruções",
        "es son é são será",
    ),
    rule(
        "reveal",
        0.5,
        "pide el prompt",
        "muestra muestre revela revele imprime imprima escribe di dime repite enseña dame entrega mostre exiba"
        " imprimir",
        "~4 mensaje_de_sistema prompt_del_sistema prompt_de_sistema prompt prompt_do_sistema"
        " instrucciones_del_sistema tus_instrucciones"
        " variables_de_entorno variáveis_de_ambiente claves?_de_la_api claves?_privadas? claves?_secretas?"
        " claves?_api credenciales",
    ),
    rule(
        "reveal",
        0.35,
        "pide secretos",
        "muestra muestre revela revele imprime imprima dime dame entrega mostre exiba imprimir",
        "~4 claves? contraseñas? secretos? tokens? senhas? chaves?",
    ),
    rule(
        "send",
        0.5,
        "se lleva datos",
        "envía envíe enviar manda sube publica transmite envie mande",
        "~6 contenido env id_rsa claves? contraseñas? secretos? archivos? ficheros? historial datos tokens?"
        " conteúdo arquivos? credenciales",
        r"~6 https?://[^\s\"'<>`]{1,200} dirección servidor [^\s]{1,60}@[^\s]{1,60} url endereço",
    ),
    rule(
        "conceal",
        0.45,
        "a escondidas",
        "no sin não sem",
        "~2 digas diga menciones mencione avises informes informe preguntar avisar informar pedir diga conte",
        "~3 usuario confirmación nadie permiso nada esto usuário ninguém",
    ),
    rule(
        "address",
        0.4,
        "habla a una máquina",
        "nota mensaje atención aviso instrucción instrucciones importante",
        "?para al a los",
        "~3 asistentes?(?:_de_ia)? ia agentes?(?:_de_ia)? modelos?_de_lenguaje el_asistente chatbots?",
    ),
    rule(
        "address",
        0.4,
        "habla a una máquina",
        "si se",
        "~1 eres es és é você",
        "~2 ia asistente agente modelo assistente",
    ),
    rule(
        "persona",
        0.5,
        "papel sin reglas",
        "eres actúa finge imagina actua aja",
        "~6 sin ninguna sem",
        "~1 restricciones reglas filtros límites censura restrições",
    ),
    rule(
        "tamper",
        0.4,
        "borra el trabajo",
        "borra borrar elimina eliminar",
        "~1 el todo los",
        "repositorio archivos tests pruebas ficheros",
    ),
)

# -- Italian

_IT_ORDERS = (
    "istruzion[ei] regol[ae] direttiv[ae] indicazion[ei] ordin[ei] comand[oi] prompt restrizion[ei]"
    " linee_guida messaggi"
)
_IT = (
    rule(
        "override",
        0.75,
        "annulla le istruzioni",
        "ignora ignorate ignorare dimentica dimenticate dimenticare trascura tralascia scavalca non_seguire"
        " non_tenere_conto disattendi",
        "~2 tutt[ei] le i tue vostre delle ogni gli",
        f"~2 {_IT_ORDERS}",
        "~4 precedent[ei] sopra prima iniziali sistema sicurezza date ricevute originali",
    ),
    rule(
        "override",
        0.6,
        "da ora in poi",
        "da d",
        "ora adesso questo_momento",
        "in",
        "poi avanti",
        "~3 sei segui obbedisci rispondi esegui segui agisci solo",
    ),
    rule(
        "override",
        0.5,
        "nuovo compito",
        "il tuo le",
        "?tuo tue",
        "nuov[oe] vero",
        "compito istruzioni ruolo obiettivo",
        "è sono",
    ),
    rule(
        "reveal",
        0.5,
        "chiede il prompt",
        "stampa mostra rivela scrivi ripeti dimmi visualizza fornisci elenca",
        "~4 prompt_di_sistema messaggio_di_sistema prompt istruzioni_di_sistema tue_istruzioni"
        " chiav[ei]_privat[ae] chiav[ei]_segret[ae]"
        " variabili_d_ambiente variabili_di_ambiente credenziali",
    ),
    rule(
        "reveal",
        0.35,
        "chiede segreti",
        "stampa mostra rivela dimmi fornisci elenca",
        "~4 password segret[oi] chiav[ei] token",
    ),
    rule(
        "send",
        0.5,
        "porta fuori dati",
        "invia inviate manda spedisci carica trasmetti pubblica",
        "~6 contenuto env id_rsa chiav[ei] password segreti file cronologia dati token credenziali",
        r"~6 https?://[^\s\"'<>`]{1,200} indirizzo server [^\s]{1,60}@[^\s]{1,60} url",
    ),
    rule(
        "conceal",
        0.45,
        "di nascosto",
        "non senza",
        "~2 dire dirlo menzionare informare avvisare chiedere rivelare",
        "~3 utente all_utente conferma nessuno permesso",
    ),
    rule(
        "address",
        0.4,
        "parla a una macchina",
        "nota messaggio attenzione avviso istruzioni importante",
        "?per a agli all",
        "~3 assistent[ei] ia agent[ei] modell[oi]_linguistic[oi] ai intelligenza_artificiale chatbot",
    ),
    rule("address", 0.4, "parla a una macchina", "se", "sei", "~2 ia ai assistente agente modello"),
    rule(
        "persona",
        0.5,
        "ruolo senza regole",
        "sei fingi agisci immagina",
        "~6 senza nessuna",
        "~1 restrizioni regole filtri limiti censura",
    ),
)

# -- Russian

_RU_ORDERS = (
    "инструкци[июйя]\\w{0,3} правил\\w{0,3} указани\\w{0,3} команд\\w{0,3} директив\\w{0,3}"
    " промпт\\w{0,3} ограничени\\w{0,3} распоряжени\\w{0,3}"
)
_RU = (
    rule(
        "override",
        0.75,
        "отменяет инструкции",
        "игнорируй игнорируйте игнорировать проигнорируй проигнорируйте забудь забудьте отбрось отмени"
        " отмените пренебреги не_следуй не_выполняй"
        " не_обращай_внимания нарушь",
        "~3 все всех на свои твои предыдущ\\w{1,4} прежн\\w{1,4} прошл\\w{1,4} выше любые эти",
        f"~3 {_RU_ORDERS}",
    ),
    rule(
        "override",
        0.65,
        "отменяет сказанное",
        "забудь забудьте игнорируй игнорируйте",
        "все всё",
        "~5 говорили сказано раньше ранее до_этого выше сказали",
    ),
    rule(
        "override",
        0.5,
        "отныне",
        "теперь отныне с",
        "?этого_момента этой_минуты сейчас",
        "~2 ты вы выполняй выполняйте подчиняйся следуй",
        "~3 только лишь исключительно без выполняешь исполняй команды",
    ),
    rule(
        "override",
        0.5,
        "новая задача",
        "твоя ваша твои",
        "новая новое новые настоящая",
        "задача инструкция инструкции роль цель",
    ),
    rule(
        "reveal",
        0.5,
        "просит промпт",
        "выведи выведите покажи покажите раскрой напечатай повтори сообщи напиши пришли распечатай выдай",
        "~4 системн\\w{2,4}_(?:промпт|сообщени|инструкци)\\w{0,3} промпт\\w{0,3}"
        " переменн\\w{2,3}_окружения секретн\\w{2,3}_ключ\\w{0,3}",
    ),
    rule(
        "reveal",
        0.35,
        "просит секреты",
        "выведи выведите покажи покажите раскрой напечатай сообщи пришли выдай",
        "~4 парол\\w{1,3} ключ\\w{0,3} секрет\\w{0,3} токен\\w{0,3}",
    ),
    rule(
        "send",
        0.5,
        "выносит данные",
        "отправь отправьте перешли пошли загрузи передай скопируй вышли",
        "~6 содержимое env файл\\w{0,3} ключ\\w{0,3} парол\\w{1,3} секрет\\w{0,3} токен\\w{0,3} данные"
        " переписк\\w{1,2} истори\\w{1,2}",
        r"~6 https?://[^\s\"'<>`]{1,200} адрес сервер [^\s]{1,60}@[^\s]{1,60}",
    ),
    rule(
        "conceal",
        0.45,
        "тайком",
        "не без",
        "~1 говори сообщай упоминай рассказывай спрашивая подтверждения предупреждай",
        "~2 пользовател\\w{1,3} об_этом никому",
    ),
    rule("conceal", 0.4, "тайком", "без", "подтверждения разрешения спроса ведома"),
    rule(
        "address",
        0.4,
        "обращается к машине",
        "внимание сообщение инструкция указание важно примечание",
        "?для всем",
        "~3 ассистент\\w{0,3} ии агент\\w{0,3} языков\\w{2,4}_модел\\w{1,3} нейросет\\w{1,3} бот\\w{0,3}",
    ),
    rule("address", 0.4, "обращается к машине", "если", "ты вы", "~2 ии ассистент агент модель нейросеть бот"),
    rule(
        "persona",
        0.5,
        "роль без правил",
        "ты притворись представь веди",
        "~6 без",
        "~1 ограничений правил фильтров цензуры",
    ),
)

SPACED = (*_DE, *_FR, *_ES, *_IT, *_RU)


def _unspaced(kind: Kind, weight: float, why: str, firsts: str, rest: str) -> Rule:
    """Scripts that put no spaces between words: places are found by their beginnings."""
    folded = plain(firsts)
    return Rule(kind, weight, why, tuple(folded.split("|")), re.compile(f"(?:{folded}){plain(rest)}"))


_ZH_EARLIER = "(?:之前|以前|先前|上面|上述|以上|前面|此前|原有|原来|所有|一切|任何|你的|系统|系統|全部)"
_ZH_ORDERS = "(?:指令|指示|规则|規則|提示|命令|要求|设定|設定|限制|说明|說明|规定|約束|约束|内容|對話|对话)"
_ZH_SECRETS = (
    "(?:系统提示|系統提示|提示词|提示詞|密钥|密鑰|密码|密碼|令牌"
    "|环境变量|環境變數|私钥|凭证|机密|\\.env|id_rsa|api key|token)"
)

UNSPACED = tuple(
    starmap(
        _unspaced,
        (
            (
                "override",
                0.75,
                "忽略先前指令",
                "忽略|无视|無視|忘记|忘記|忘掉|不要理会|不要遵守|不要遵循|抛开|跳过|违反|绕过|覆盖|停止遵守|请勿遵循",
                f".{{0,6}}?{_ZH_EARLIER}.{{0,8}}?{_ZH_ORDERS}",
            ),
            (
                "override",
                0.6,
                "从现在开始",
                "从现在开始|从现在起|從現在開始|从此刻起|现在起",
                ".{0,8}?(?:你是|你就是|只|执行|服从|扮演|听从|必须|要)",
            ),
            ("override", 0.5, "新任务", "你的新任务|你的新指令|新的指令|新指令|你真正的任务", "(?:是|:|:|如下)"),
            (
                "reveal",
                0.5,
                "要求泄露",
                "输出|显示|打印|透露|泄露|泄漏|告诉我|展示|列出|重复|写出|公开|顯示|輸出",
                f".{{0,12}}?{_ZH_SECRETS}",
            ),
            (
                "send",
                0.55,
                "带出数据",
                "发送|上传|提交|转发|传到|把|将|發送|上傳",
                f".{{0,20}}?{_ZH_SECRETS}.{{0,20}}?(?:http|发送|上传|到|邮箱|服务器)",
            ),
            (
                "send",
                0.5,
                "带出数据",
                "发送|上传|提交|转发|把|将",
                ".{0,20}?(?:内容|文件|数据|记录|代码).{0,14}?(?:http|发送到|上传到|发到|邮箱|服务器)",
            ),
            (
                "conceal",
                0.45,
                "不要告诉",
                "不要告诉|不要告知|不要提及|不得告诉|别告诉|无需询问|不要询问|无需确认|不要通知",
                ".{0,4}?(?:用户|任何人|用戶|主人|确认|此|他)?",
            ),
            (
                "address",
                0.4,
                "对机器说话",
                "注意|提示|通知|致|给|请注意|如果你是",
                ".{0,4}?(?:ai|AI|人工智能|语言模型|大模型|助手|智能体|机器人)",
            ),
            (
                "persona",
                0.55,
                "无限制的角色",
                "你是|你现在是|扮演|假装|假设你是|想象你是",
                ".{0,14}?(?:没有任何|不受|无任何|没有|毫无).{0,4}?(?:限制|约束|规则|审查|道德)",
            ),
            (
                "tamper",
                0.4,
                "要求通过",
                "批准|通过|跳过|禁用|删除",
                ".{0,6}?(?:所有测试|测试|检查|合并请求|审查|验证).{0,10}?(?:报告|标记|并|直接)",
            ),
            # Japanese
            (
                "override",
                0.75,
                "以前の指示を無視",
                "以前の|これまでの|前の|上記の|すべての|全ての|今までの",
                ".{0,8}?(?:指示|命令|ルール|規則|プロンプト).{0,6}?(?:無視|忘れ|破棄)",
            ),
            (
                "reveal",
                0.5,
                "プロンプトを要求",
                "システムプロンプト|秘密鍵|パスワード|環境変数",
                ".{0,8}?(?:表示|出力|教え|公開|送信)",
            ),
        ),
    )
)
