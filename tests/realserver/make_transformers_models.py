"""Make tiny Llama models with random weights: `make_transformers_models.py FOLDER NAME…`; runs where transformers is.

What a model says is noise, in words that start with the model's name: so an answer shows who gave it.
"""

import sys
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

WORDS = 8
SPECIAL_TOKENS = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
CHAT_TEMPLATE = "{{ bos_token }}{% for message in messages %}{{ message['content'] }}\n{% endfor %}"


def main() -> None:
    folder, *names = sys.argv[1:]
    for seed, name in enumerate(names):
        torch.manual_seed(seed)
        tokens = write_tokenizer(Path(folder) / name, name)
        write_model(Path(folder) / name, tokens)


def write_tokenizer(path: Path, name: str) -> int:
    """Give it bytes, which spell any question, and words to answer with; return how many tokens there are."""
    tokens = [*SPECIAL_TOKENS.values(), *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokens += [f"Ġ{name}-{number}" for number in range(WORDS)]
    spelling = models.BPE(vocab={token: number for number, token in enumerate(tokens)}, merges=[])
    tokenizer = Tokenizer(spelling)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=CHAT_TEMPLATE, **SPECIAL_TOKENS).save_pretrained(
        path
    )
    return len(tokens)


def write_model(path: Path, tokens: int) -> None:
    config = LlamaConfig(
        vocab_size=tokens,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=512,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    model = LlamaForCausalLM(config)
    # Of a row and its negative one always scores above the zeros of all other tokens: only words are said.
    half = torch.randn(WORDS // 2, config.hidden_size)
    with torch.no_grad():
        model.lm_head.weight.copy_(torch.cat([torch.zeros(tokens - WORDS, config.hidden_size), half, -half]))
    model.save_pretrained(path)


if __name__ == "__main__":
    main()
