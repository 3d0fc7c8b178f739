"""Make tiny GGUF models with random weights: `make_llama_cpp_models.py FOLDER NAME…`; runs in llama.cpp's environment.

What a model says is noise, in words that start with the model's name: so an answer shows who gave it.
"""

import sys
from pathlib import Path

import numpy as np
from gguf import GGUFWriter, TokenType

WIDTH, HEADS, LAYERS, HIDDEN, CONTEXT = 32, 4, 2, 64, 512
WORDS = 8
SPECIAL_TOKENS = ["<unk>", "<s>", "</s>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def main() -> None:
    folder, *names = sys.argv[1:]
    for seed, name in enumerate(names):
        write_model(Path(folder) / f"{name}.gguf", name, np.random.default_rng(seed))


def write_model(path: Path, name: str, random: np.random.Generator) -> None:
    writer = GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(HEADS)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    tokens = add_tokenizer(writer, name)
    add_weights(writer, tokens, random)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_tokenizer(writer: GGUFWriter, name: str) -> int:
    """Give it bytes, which spell any question, and words to answer with; return how many tokens there are."""
    words = [f"▁{name}-{number}" for number in range(WORDS)]
    tokens = [*SPECIAL_TOKENS, *BYTES, *words]
    kinds = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL]
    kinds += [TokenType.BYTE] * len(BYTES) + [TokenType.NORMAL] * len(words)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(kinds)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    return len(tokens)


def add_weights(writer: GGUFWriter, tokens: int, random: np.random.Generator) -> None:
    def noise(*shape: int) -> np.ndarray:
        return random.normal(0, 0.3, shape).astype(np.float32)

    # Of a row and its negative one always scores above the zeros of all other tokens: only words are said.
    half = 10 * noise(WORDS // 2, WIDTH)
    head = np.concatenate([np.zeros((tokens - WORDS, WIDTH), np.float32), half, -half])
    writer.add_tensor("token_embd.weight", noise(tokens, WIDTH))
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    writer.add_tensor("output.weight", head)
    for layer in range(LAYERS):
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            writer.add_tensor(f"blk.{layer}.{part}.weight", noise(WIDTH, WIDTH))
        writer.add_tensor(f"blk.{layer}.ffn_gate.weight", noise(HIDDEN, WIDTH))
        writer.add_tensor(f"blk.{layer}.ffn_up.weight", noise(HIDDEN, WIDTH))
        writer.add_tensor(f"blk.{layer}.ffn_down.weight", noise(WIDTH, HIDDEN))
        for part in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"blk.{layer}.{part}.weight", np.ones(WIDTH, np.float32))


if __name__ == "__main__":
    main()
